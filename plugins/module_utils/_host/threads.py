# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import concurrent.futures
import contextlib
import typing as t

#: Has something done while the caller goes on, once what it was given before is done.
Later = t.Callable[[t.Callable[[], t.Any]], None]


@contextlib.contextmanager
def behind() -> t.Iterator[Later]:
    """One thread, so that what was read is hashed and written while the next piece is read; an error comes out at the next call."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        last = pool.submit(lambda: None)

        def later(work: t.Callable[[], t.Any]) -> None:
            nonlocal last
            last.result()
            last = pool.submit(work)

        yield later
        last.result()


def take(chunk: bytes, file: t.IO[bytes], digest: t.Any) -> None:
    digest.update(chunk)
    file.write(chunk)
