"""Names that somebody else wrote: what lists, tar parts and users may hold, by what is wrong with them."""

from __future__ import annotations

ODD = {
    "up": "../../outside",
    "up from within": "a/../../outside",
    "up on Windows": "..\\..\\outside",
    "the folder itself": ".",
    "the folder above": "..",
    "absolute": "/tmp/outside",
    "absolute on Windows": "C:\\outside",
    "a share": "\\\\host\\outside",
    "null": "a\0b",
    "an option": "-rf",
    "two hyphens": "--exec=touch outside",
    "home": "~root",
    "decomposed": "u\u0308ber",
    "composed": "\u00fcber",
    "turns the direction": "\u202e4pm",
    "half a letter": "\ud800",
    "300 characters": "x" * 300,
    "300 wide characters": "\u7b1b" * 300,
    "reserved": "CON",
    "reserved with an ending": "nul.mp4",
    "a stream": "a:b",
    "a dot at the end": "end.",
    "a line break": "a\nb",
    "a shell": "$(touch outside); `touch outside`",
    "an address": "a?b=%2e%2e#c",
}
