"""BOINC as Debian has it, the peer of the benches that look at what a guest costs: client and manager, on one desktop.

The client runs in a folder of its own and never reaches for the network. It is attached to a project that exists in
this folder alone, without which its manager would show a window that asks for one, and has no task. It looks at the
idle time of every X server of the machine, and ends when one of them ends.
"""

from __future__ import annotations

import secrets
import socket
import subprocess

from bench.desktop import PrivateDesktop, until

PROGRAMS = ("boinc", "boinccmd", "boincmgr")
_CONFIG = """<cc_config><options><no_info_fetch>1</no_info_fetch><dont_contact_ref_site>1</dont_contact_ref_site>
<skip_cpu_benchmarks>1</skip_cpu_benchmarks><no_gpus>1</no_gpus></options></cc_config>
"""
_PROJECT = "<master_url>http://127.0.0.1/bench/</master_url><project_name>bench</project_name>"
_ACCOUNT = f"<account>{_PROJECT}<authenticator>0</authenticator></account>\n".replace("><", ">\n<")
_NEVER = 3  # RUN_MODE_NEVER
_USER_ACTIVE = 2  # SUSPEND_REASON_USER_ACTIVE
_STATE = (
    f"<client_state>\n<user_network_request>{_NEVER}</user_network_request>\n"
    f"<project>{_PROJECT}</project>\n</client_state>\n"
).replace("><", ">\n<")
#: Works only while nobody touches the computer, and again a tenth of a minute after; whatever else runs.
_PREFERENCES = """<global_preferences><run_if_user_active>0</run_if_user_active><idle_time_to_run>0.1</idle_time_to_run>
<suspend_cpu_usage>0</suspend_cpu_usage><run_on_batteries>1</run_on_batteries></global_preferences>
"""


class Boinc:
    """The client, started; it ends with its desktop. Its folder is the desktop's."""

    def __init__(self, desktop: PrivateDesktop) -> None:
        self._desktop = desktop
        self._folder = desktop.home / "boinc"
        self._folder.mkdir()
        self._write(cc_config=_CONFIG, global_prefs_override=_PREFERENCES, client_state=_STATE)
        (self._folder / "account_127.0.0.1_bench.xml").write_text(_ACCOUNT)
        self._password = secrets.token_hex()
        (self._folder / "gui_rpc_auth.cfg").write_text(self._password)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        command = ("boinc", "--dir", str(self._folder), "--gui_rpc_port", str(self._port), "--redirectio")
        self.client = desktop.run(*command, folder=self._folder)
        until("BOINC's client", self._listens, every_s=0.2)

    def start_manager(self) -> subprocess.Popen[bytes]:
        """The manager, its window put away."""
        where = ("-n", "127.0.0.1", "-g", str(self._port), "-p", self._password)
        manager = self._desktop.run("boincmgr", "-a", "-m", "-nd", "-d", str(self._folder), *where, folder=self._folder)
        until("BOINC's manager", lambda: bool(self._windows()), every_s=0.2)
        for window in self._windows():
            self._desktop.xdotool("windowminimize", window)
        return manager

    def tell(self, *words: str) -> str:
        """What `boinccmd` says."""
        command = ["boinccmd", "--host", f"127.0.0.1:{self._port}", "--passwd", self._password, *words]
        return subprocess.run(command, cwd=self._folder, capture_output=True, text=True).stdout

    def connect(self) -> socket.socket:
        """A connection to ask on with `user_is_active`."""
        return socket.create_connection(("127.0.0.1", self._port), 5.0)

    def _listens(self) -> bool:
        return "CPU status" in self.tell("--get_cc_status")

    def _windows(self) -> list[str]:
        return self._desktop.xdotool("search", "--onlyvisible", "--name", "BOINC Manager").split()

    def _write(self, **texts: str) -> None:
        for name, text in texts.items():
            (self._folder / f"{name}.xml").write_text(text.replace("><", ">\n<"))


def user_is_active(asked: socket.socket) -> bool:
    """Whether the client says, on this connection, that it suspends because the computer is in use."""
    asked.sendall(b"<boinc_gui_rpc_request>\n<get_cc_status/>\n</boinc_gui_rpc_request>\n\x03")
    reply = b""
    while not reply.endswith(b"\x03"):
        reply += asked.recv(1 << 16)
    reason = reply.partition(b"<task_suspend_reason>")[2].partition(b"<")[0]
    return bool(int(reason) & _USER_ACTIVE)
