# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The command line: ``kubenode-network status|diff|apply|watch|confirm|revert``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import typing as t

from .. import _transaction
from .._document import PATH
from .._errors import KubenodeError
from .._undo import Undone
from . import parts, show, watch

#: Exit codes. 2 is what argparse ends with when it is called wrongly.
OK, ERROR, DRIFT = 0, 1, 3
EPILOG = """exit codes:
  0  the node is as the document says
  1  something failed
  2  the command was not understood
  3  something differs from the document, still waits for a link, or could not be taken back

The document is /etc/kubenode-network/node.json. Ansible writes it; status and diff compare the node with it, apply makes the node so.
"""


class _Parser(argparse.ArgumentParser):
    def _print_message(self, message: str, file: t.Any = None) -> None:
        """Help, version and usage, said like everything else."""
        _say(file or sys.stderr, message)


def main(version: str, argv: t.Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit code."""
    try:
        options = _parser(version).parse_args(argv)
        if os.geteuid() != 0:
            raise KubenodeError(f"{PATH} is root's alone to read (expected to run as root, e.g. by sudo)")
        return _VERBS[options.verb](options)
    except (KubenodeError, OSError) as error:
        _say(sys.stderr, f"kubenode-network: {error}\n")
        return ERROR


def _parser(version: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="kubenode-network",
        description="The pod network of this node, as Ansible left it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="status|diff|apply|watch|confirm|revert")
    texts = {
        "status": "list every part and object: ok, drift, missing or waiting, and where auto would now choose otherwise",
        "diff": "show what differs from the document, as text",
        "watch": "bring the routes to other nodes' pods back whenever something takes them away, until it is ended",
        "apply": "make the node what the document says; what a run that died has left open is finished or undone first",
        "confirm": "keep the change that waits to be confirmed",
        "revert": "take the change back that waits to be confirmed",
    }
    for verb, text in texts.items():
        own = verbs.add_parser(verb, help=text, description=f"{text[0].upper()}{text[1:]}.")
        if verb in _ANSWERS:
            own.add_argument("run", nargs="?", help="the id of its run (default: whichever waits)")
        if verb == "watch":
            continue
        own.add_argument("--json", action="store_true", help="print JSON for programs")
        if verb == "apply":
            own.add_argument("--check", action="store_true", help="say what would be changed, and change nothing")
    return parser


def _compare(options: argparse.Namespace) -> int:
    changing = options.verb == "apply" and not options.check
    report = parts.apply() if changing else parts.look()
    if options.json:
        text = json.dumps(show.as_data(report), indent=1) + "\n"
    elif not report.looks and not os.path.lexists(PATH):
        text = "".join(f"{note}\n" for note in report.notes) + f"Nothing is configured on this node: there is no {PATH}.\n"
    else:
        text = _text(options, report, show.Paint(is_terminal=sys.stdout is not None and sys.stdout.isatty()))
    _say(sys.stdout, text)
    return exit_code(report.looks)


def _confirm(options: argparse.Namespace) -> int:
    answer = _transaction.confirm(options.run)
    data = {"run": answer.run, "changed": answer.changed}
    _say(sys.stdout, f"{json.dumps(data) if options.json else f'The change of the run {answer.run} stays.'}\n")
    return OK


def _revert(options: argparse.Namespace) -> int:
    answer = _transaction.revert(options.run)
    undone = answer.undone
    data = {"run": answer.run, "changed": answer.changed, **dataclasses.asdict(undone or Undone())}
    words = f"The change of the run {answer.run} {f'is taken back; {undone}' if undone else 'was taken back before'}."
    _say(sys.stdout, f"{json.dumps(data) if options.json else words}\n")
    return DRIFT if data["stuck"] else OK


def _watch(options: argparse.Namespace) -> int:
    watch.watch(sys.argv[0], lambda text: _say(sys.stdout, text))
    return OK


_ANSWERS = {"confirm": _confirm, "revert": _revert}
_VERBS = {"status": _compare, "diff": _compare, "apply": _compare, "watch": _watch, **_ANSWERS}


def _say(stream: t.TextIO | None, text: str) -> None:
    """Writes all of a text, in which names of files may be in any encoding, to a stream, None for one that is closed. That
    nobody reads to its end (``| head``) is no failure; that it cannot be kept is one, an OSError."""
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as error:
        with open(os.devnull, "wb") as nowhere:  # or Python tries once more when it ends
            os.dup2(nowhere.fileno(), stream.fileno())
        if not isinstance(error, BrokenPipeError):
            raise OSError(f"what there is to say cannot be written: {error.strerror}") from error


def _text(options: argparse.Namespace, report: parts.Report, paint: show.Paint) -> str:
    notes, looks = "".join(f"{note}\n" for note in report.notes), report.looks
    if options.verb == "status":
        return notes + show.status(looks, paint)
    if options.verb == "diff":
        return notes + show.diff(looks, paint) + show.remarks([look for look in looks if look.problems], paint)
    return notes + show.applied(looks, paint, check=options.check)


def exit_code(looks: t.Sequence[parts.Look]) -> int:
    state = show.worst(looks)
    return ERROR if state == parts.FAILED else OK if state == parts.OK else DRIFT
