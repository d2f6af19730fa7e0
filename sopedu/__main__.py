"""``python -m sopedu`` is the command line, for launchers that start modules: ``accelerate launch -m sopedu train``."""

from sopedu.cli.commands import main

if __name__ == "__main__":
    main()
