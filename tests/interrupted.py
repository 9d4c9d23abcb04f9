"""Programs that Ctrl-C ends."""

import signal
import subprocess
import sys
import time


def interrupted(code: str, timeout: float = 60.0) -> str:
    """What Python code prints that runs until it hears Ctrl-C, after it has printed that it is ready."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(0.3)
            child.send_signal(signal.SIGINT)
            out, _ = child.communicate(timeout=timeout)
        finally:
            # One that has not heard it would run for ever.
            child.kill()
    assert child.returncode == 0
    return out
