"""All rules, in the order in which equal ceilings are named."""

from __future__ import annotations

from gogrid_desktop.core.activity import Role, away_after_s
from gogrid_desktop.core.rules import Rule, gpu, machine, person, presence, seconds

_DESKTOP = (Role.DESKTOP,)
_AT_ONCE = seconds(0.0)

RULES = (
    Rule("switch", person.switch, _AT_ONCE, hard=True, quiet=True),
    Rule("system", machine.system, seconds(machine.SYSTEM_HOLD_S), hard=True, quiet=True),
    Rule("administrator", person.administrator, _AT_ONCE, hard=True, quiet=True),
    Rule("session", presence.another_session, seconds(presence.SESSION_HOLD_S), True, True, _DESKTOP),
    Rule("other agent", machine.other_agent, _AT_ONCE, hard=True, quiet=True),
    Rule("drain", person.drain, _AT_ONCE, hard=True, quiet=True),
    Rule("heat", gpu.heat, seconds(gpu.HEAT_HOLD_S), hard=True, quiet=True),
    Rule(
        "power",
        machine.power,
        lambda _, wanted: machine.POWER_HOLD_S if wanted.pause_on_battery else 0.0,
        hard=True,
        quiet=True,
    ),
    Rule("network", machine.network, _AT_ONCE, hard=True, quiet=True),
    Rule("application", person.application, seconds(person.APPLICATION_HOLD_S), hard=True, quiet=True),
    Rule("game", gpu.game, lambda _, wanted: gpu.GAME_HOLD_S if wanted.pause_for_games else 0.0, quiet=True),
    Rule("presence", presence.presence, away_after_s, roles=_DESKTOP),
    Rule(
        "screen",
        presence.screen,
        lambda _, wanted: presence.SCREEN_HOLD_S if wanted.pause_on_fullscreen else 0.0,
        quiet=True,
        roles=_DESKTOP,
    ),
    Rule(
        "call",
        presence.call,
        lambda _, wanted: presence.CALL_HOLD_S if wanted.pause_in_calls else 0.0,
        quiet=True,
        roles=_DESKTOP,
    ),
    Rule("foreign GPU", gpu.foreign, seconds(gpu.FOREIGN_HOLD_S), quiet=True),
    Rule("remote", presence.remote, seconds(presence.REMOTE_HOLD_S), quiet=True, roles=_DESKTOP),
    Rule("others' CPU", machine.others_cpu, seconds(machine.OTHERS_CPU_HOLD_S), quiet=True),
    Rule("schedule", person.week_grid, _AT_ONCE, roles=_DESKTOP),
    Rule("setting", person.card, _AT_ONCE, hard=True),
)
#: What counts in each role.
RULES_OF = {role: tuple(rule for rule in RULES if role in rule.roles) for role in Role}
