"""`python -m evalkit`."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        # Python puts the current folder first; what lies there may be a stranger's `torch.py`.
        del sys.path[0]
    from evalkit.cli import main

    main()
