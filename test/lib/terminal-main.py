"""Runs a command with a terminal of its own as /dev/tty, its descriptors 0-2 being this program's 3-5.

The first argument names those of the three that are the terminal instead, as in "01". What is typed comes in by this program's stdin, what the terminal shows goes out by its stdout. The exit
status is the command's. Used by terminal.ts.
"""

import os
import pty
import select
import sys

# None of 3-5 may become the terminal's own descriptor, should one not be open.
for handed_on in (3, 4, 5):
    try:
        os.fstat(handed_on)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_RDWR), handed_on)

child, terminal = pty.fork()
if child == 0:
    # A terminal that nobody holds open reads as hung up, so the command keeps it as descriptor 3.
    screen = os.dup(0)
    for wanted in (0, 1, 2):
        if str(wanted) not in sys.argv[1]:
            os.dup2(wanted + 3, wanted)
    os.dup2(screen, 3)
    os.closerange(4, 64)
    os.execvp(sys.argv[2], sys.argv[2:])

for handed_on in (3, 4, 5):
    os.close(handed_on)
typed = 0
sources = [typed, terminal]
while terminal in sources:
    for source in select.select(sources, [], [])[0]:
        try:
            text = os.read(source, 4096)
        except OSError:
            # A terminal whose last user has gone reads as EIO.
            text = b""
        if text == b"":
            sources.remove(source)
        elif source == typed:
            os.write(terminal, text)
        else:
            os.write(1, text)
status = os.waitpid(child, 0)[1]
sys.exit(os.waitstatus_to_exitcode(status) if not os.WIFSIGNALED(status) else 128 + os.WTERMSIG(status))
