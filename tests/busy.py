"""Runs the tests some times while four processes keep the processors busy: ``python -m tests.busy TIMES [OPTIONS]``."""

import subprocess
import sys


def main(times: int, options: list[str]) -> None:
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        for number in range(1, times + 1):
            print(f"{number} of {times}", flush=True)
            subprocess.run([sys.executable, "-m", "pytest", "-n", "4", "--dist", "worksteal", *options], check=True)
    except subprocess.CalledProcessError as failed:
        sys.exit(failed.returncode)
    finally:
        for burner in burners:
            burner.kill()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
