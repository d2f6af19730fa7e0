"""``python -m sopedu`` runs the command line, also by launchers: ``accelerate launch -m sopedu train``."""

from sopedu.cli.commands import main

if __name__ == "__main__":
    main()
