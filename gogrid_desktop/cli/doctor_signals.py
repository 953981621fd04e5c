"""What `gogrid doctor` says of the signals: which sources tell where the person is and what the machine does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing

from gogrid_desktop.agent.programs import running
from gogrid_desktop.cli.checks import Check, Grade
from gogrid_desktop.config.ceiling import FILE, CeilingFile
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.core.idle import Kind
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.errors import AgentUnavailable, GoGridError
from gogrid_desktop.ipc import messages as m
from gogrid_desktop.ipc.client import call
from gogrid_desktop.paths import AppPaths
from gogrid_desktop.system import host


def _idle(settings: Settings) -> Check:
    if settings.role == "server":
        return Check("idle time", Grade.OK, "not needed on a server")
    answers, counts = [], False
    for probe in host.idle_probes():
        with closing(probe):
            idle_s = probe.idle_s()
        if idle_s is not None:
            answers.append(f"{probe.name} {idle_s:.0f} s")
            counts = counts or probe.kind is Kind.COUNTER
    if counts:
        return Check("idle time", Grade.OK, ", ".join(answers))
    return Check(
        "idle time",
        Grade.WARNING,
        "no source answers, so you count as present all the time.",
        "Run this in your desktop session, or: gogrid settings set role server",
    )


def _session(settings: Settings) -> Check:
    if settings.role == "server":
        return Check("session", Grade.OK, "not needed on a server")
    with closing(host.session_probe()) as probe:
        seen = probe.read()
    if seen.active is None and not seen.nobody:
        found = "nothing says whose session the screen shows, so you count as present all the time."
        return Check("session", Grade.WARNING, found, "On Linux systemd-logind tells it.")
    if seen.active is False:
        return Check("session", Grade.WARNING, "another user is at the computer: sharing is paused.", "Wait for them.")
    words = ["nobody is logged in" if seen.nobody else "yours", "locked" if seen.locked else "", "used from afar"]
    found = ", ".join(word for word in words[: 3 if seen.remote else 2] if word)
    return Check("session", Grade.OK, found)


def _attention(settings: Settings) -> Check:
    if settings.role == "server":
        return Check("attention", Grade.OK, "not looked at on a server")
    seen = host.attention_probe().read()
    told = {"films": seen.inhibitor, "games": seen.game_mode, "calls": seen.call}
    unseen = [name for name, what in told.items() if what is None]
    now = [text for text in (seen.inhibitor and f"{seen.inhibitor} keeps the screen awake", seen.call) if text]
    found = f"{', '.join(name for name in told if name not in unseen) or 'nothing'} can be told"
    found += f", {' and '.join(unseen)} cannot (full-screen programs and use of the GPU still count)" if unseen else ""
    return Check("attention", Grade.OK, "; ".join([found, *now]))


def _network(settings: Settings) -> Check:
    if not settings.network.mind_metered:
        return Check("network", Grade.OK, "not looked at, as you set it")
    metered = host.network_probe().metered()
    if metered is None:
        return Check("network", Grade.OK, "nothing says whether it is metered; it counts as unmetered")
    if metered:
        remedy = "To share all the same: gogrid settings set network.mind_metered false"
        return Check("network", Grade.WARNING, "metered: no new work.", remedy)
    return Check("network", Grade.OK, "not metered")


def _programs(settings: Settings) -> Check:
    wanted = (*settings.applications.pause_for, *settings.applications.share_beside)
    if not wanted:
        return Check("programs", Grade.OK, "no rules")
    there = running(frozenset(name.lower() for name in wanted))
    strange = [name for name in wanted if name.lower() not in there and not shutil.which(name)]
    if strange:
        found = f"nothing called {' or '.join(strange)} is installed or runs: such a rule never holds."
        return Check("programs", Grade.WARNING, found, "See the names with: gogrid settings show")
    return Check("programs", Grade.OK, f"{len(wanted)} rules: {', '.join(wanted)}")


def _administrator(settings: Settings) -> Check:
    ceiling = CeilingFile(host.administrator_folder() / FILE).read()
    if ceiling.profile is Profile.PAUSED:
        return Check("limits", Grade.MISSING, f"{ceiling.sentence}.", "Ask whoever looks after this computer.")
    return Check("limits", Grade.OK, ceiling.sentence)


def agent(paths: AppPaths) -> Check:
    """What a running agent says of its sources."""
    try:
        status = call(paths.endpoint_file, m.GetStatus(id=1)).status
    except AgentUnavailable:
        return Check("agent", Grade.OK, "none runs")
    except GoGridError as error:
        return Check("agent", Grade.WARNING, error.message, error.remedy)
    notes = "; ".join(status.signals) if status is not None else ""
    if notes:
        return Check("agent", Grade.WARNING, f"{notes}.", "What cannot be told counts as in use.")
    return Check("agent", Grade.OK, "runs, and believes all its sources")


def _power(settings: Settings) -> Check:
    probe = host.power_probe()
    power = probe.read()
    matters = settings.power.pause_on_battery
    if power.mains is None:
        remedy = "" if not matters else "To share whatever the power: gogrid settings set power.pause_on_battery false"
        return Check("power", Grade.MISSING if matters else Grade.OK, "nothing says where it comes from.", remedy)
    found = "mains" if power.mains else "battery"
    found += "" if power.charge is None else f", charge {round(power.charge * 100)} %"
    found += ", battery saver on" if power.saver else ""
    if matters and (power.saver or not power.mains):
        return Check("power", Grade.WARNING, f"{found}: sharing is paused.", "Plug it in, or switch the saver off.")
    return Check("power", Grade.OK, f"{found} ({probe.name})")


def _screen(settings: Settings) -> Check:
    if settings.role == "server" or not settings.screen.pause_on_fullscreen:
        return Check("screen", Grade.OK, "not looked at, as you set it")
    probe = host.screen_probe()
    seen = probe.read()
    if seen.fullscreen is None:
        found = "nothing says whether a program fills it, so you count as present all the time."
        return Check("screen", Grade.WARNING, found, "Otherwise: gogrid settings set screen.pause_on_fullscreen false")
    what = (seen.program or "something") if seen.fullscreen else "nothing"
    return Check("screen", Grade.OK, f"{what} fills it ({probe.name})")


SIGNALS: dict[str, Callable[[Settings], Check]] = {
    "idle time": _idle,
    "session": _session,
    "power": _power,
    "screen": _screen,
    "attention": _attention,
    "network": _network,
    "programs": _programs,
    "limits": _administrator,
}
