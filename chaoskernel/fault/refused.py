"""Functions that are never failed, or whose arguments are not there yet, by their names.

Standard library only.
"""

from __future__ import annotations

import re

_OF_THE_INJECTOR = "the injector itself lives by it"
_UNREAD = "nobody reads what it returns"
_TOO_LATE = "the call has taken effect by then, and its failure would leave something behind"
_OF_OTHERS = (
    "it runs on behalf of whoever is on the CPU, not of the task in scope (system_wide: true takes "
    "them all)"
)

_REFUSED = (
    (r"bpf(_\w+)?|capable|locked_down|perf_event_\w+|ptrace_\w+", _OF_THE_INJECTOR),
    (r"\w+_(free|release)(_\w+)?|release_secctx|free_mnt_opts", _UNREAD),
    (r"\w+_committ\w+", _UNREAD),
    (r"\w+_post_\w+|d_instantiate|sb_umount", _TOO_LATE),
)
"""Names after `security_` of functions that nobody fails."""

_IN_INTERRUPTS = (
    r"sock_rcv_skb|inet_(conn_request|conn_established|csk_clone)|sk_(clone|getsecid|classify_flow)|"
    r"sock_graft|req_classify_flow|skb_classify_flow|sctp_(assoc_\w+|sk_clone)|mptcp_add_subflow|"
    r"xfrm_(decode_session|policy_lookup|state_pol_flow_match)|file_send_sigiotask"
)


def why_refused(symbol: str, *, system_wide: bool = False) -> str:
    """Return why a function is never failed, whoever asks; empty where it may be.

    :param system_wide: whether the scope is the whole host, whoever is on the CPU.
    """
    prefix, _, name = symbol.partition("security_")
    if prefix or not name:
        return ""
    if re.fullmatch(_IN_INTERRUPTS, name) and not system_wide:
        return _OF_OTHERS
    return next((why for names, why in _REFUSED if re.fullmatch(names, name)), "")


def takes_uninitialised(symbol: str) -> bool:
    """Tell whether a function is given an object that the kernel has not filled in yet."""
    return bool(re.fullmatch(r"security_(\w+_alloc(_\w+)?|prepare_creds)", symbol))
