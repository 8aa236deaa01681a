"""Requests to an API server: made again where it is too busy, and answers that are checked."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

from chaoskernel.backend.launch import start_seconds
from chaoskernel.errors import ClusterError
from chaoskernel.k8s import forms, streams
from chaoskernel.k8s.api import Document
from chaoskernel.k8s.api_errors import Busy, error_of
from chaoskernel.k8s.forms import Form
from chaoskernel.k8s.retry import Patience
from chaoskernel.k8s.sparing import SparingLog
from chaoskernel.log import logger

PAGE = 100
"""Objects of one answer: while it is read, a page of 500 pods takes 10 MB."""

MAX_PAGES = 5000
"""Most answers of one list: more objects than a cluster can have."""

CONNECT_SECONDS = 10
READ_SECONDS = 60

_MAX_REFUSAL = 1 << 16
_SHOWN = 80
Errors = Callable[[str], contextlib.AbstractContextManager[None]]


class Requests:
    """Makes requests by the client's methods; from any thread.

    :param errors: raises the client's errors as this package's, given what is asked for.
    """

    def __init__(self, errors: Errors) -> None:
        self.errors = errors
        self.log = SparingLog(logger)

    def listed(
        self,
        what: str,
        form: Form,
        ask: Callable[..., Any],
        *arguments: Any,
        patience: Patience | None = None,
        **details: Any,
    ) -> Iterator[Document]:
        """Yield the objects of a list; where it expires meanwhile, those of a new one too.

        :param form: of each object; others are left out, and logged.
        """
        details = {key: value for key, value in details.items() if value}
        patience = patience or Patience(start_seconds())
        seen: set[str] = set()
        for attempt in itertools.count():
            try:
                for item in self._pages(what, ask, *arguments, patience=patience, **details):
                    if wrong := forms.problem(item, form):
                        self.log.warning(
                            f"{what}{wrong}", "An object is left out of %s: %s", what, wrong
                        )
                        continue
                    uid = (item.get("metadata") or {}).get("uid")
                    if uid not in seen:
                        yield item
                    if uid:
                        seen.add(uid)
                return
            except ClusterError as error:
                if error.status != 410 or attempt:
                    raise

    def _pages(
        self, what: str, ask: Callable[..., Any], *arguments: Any, **details: Any
    ) -> Iterator[Any]:
        """Yield the items of a list, page by page."""
        more: dict[str, Any] = {}
        tokens: set[str] = set()
        for _ in range(MAX_PAGES):
            with _collector_paused():
                page = self.document(what, ask, *arguments, limit=PAGE, **details, **more)
            fitting(page, forms.PAGE, what)
            if "items" not in page:  # an empty list of the server's is null
                raise _not_understood(what, "items is missing")
            # A page is let go before the next is asked for.
            yield from page.pop("items", None) or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            if token in tokens:
                raise _not_understood(what, "it has the same `continue` token twice")
            tokens.add(token)
            more = {"_continue": token}
        raise _not_understood(what, f"it has more than {MAX_PAGES} pages")

    def document(
        self, what: str, ask: Callable[..., Any], *arguments: Any, **details: Any
    ) -> Document:
        """Return the document that an answer is.

        :param what: is asked for, as in "create a Job"; the others are the client's.
        :raises ChaosKernelError: it is refused, or is no document.
        """
        limit = (CONNECT_SECONDS, READ_SECONDS)
        answer = self.opened(what, ask, *arguments, **details, _request_timeout=limit)
        with self.errors(what):
            text = streams.body(answer)
        return decoded(text, {}, what)

    def opened(
        self,
        what: str,
        ask: Callable[..., Any],
        *arguments: Any,
        patience: Patience | None = None,
        **details: Any,
    ) -> Any:
        """Return an answer that is no refusal; a server that is too busy is asked again.

        :param patience: for how long.
        """
        patience = patience or Patience(start_seconds())
        while True:
            try:
                with self.errors(what):
                    answer = ask(*arguments, **details, _preload_content=False)
                    _check(answer, what)
                    return answer
            except Busy as busy:
                logger.debug("%s", busy)
                if not patience.wait(busy.seconds):
                    raise


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Look for no cycles meanwhile: documents have none, and it takes as long as to read them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def decoded(text: str | bytes, form: Form, what: str) -> Document:
    """Return the object that an answer, or a line of one, is.

    :raises ClusterError: it is something else.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        shown = text[:_SHOWN]
        shown = shown.decode(errors="replace") if isinstance(shown, bytes) else shown
        raise _not_understood(what, f"{shown!r}")
    return fitting(found, form, what)


def fitting(found: Any, form: Form, what: str) -> Document:
    """Return a document that has to be of some form.

    :raises ClusterError: it is not.
    """
    if wrong := forms.problem(found, form):
        raise _not_understood(what, wrong)
    document: Document = found
    return document


def _not_understood(what: str, why: str) -> ClusterError:
    return ClusterError(
        f"the answer of the API server to {what} is not understood: {why}",
        hint="is a proxy in between, or something else at its address?",
    )


def _check(answer: Any, what: str) -> None:
    """Raise what older clients do not: they leave raw answers alone."""
    if not 200 <= answer.status < 300:
        text = streams.beginning(answer, _MAX_REFUSAL).decode(errors="replace")
        raise error_of(answer.status, text, what, answer.headers)
