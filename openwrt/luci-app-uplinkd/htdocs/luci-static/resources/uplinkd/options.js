'use strict';
'require baseclass';
'require uplinkd.values as values';

/* Every option of /etc/config/uplinkd: its name, what it may be, its default, its title, and a line of help.
 * tests/packaging/luci.rs holds the names, the values and the defaults against the parser of uplinkd. */

const { duration, whole, number, percent, words, list } = values;
const policies = words('failover', 'best', 'balance');

const PROBE = [
	[ 'probe_targets', list(values.target, 1, 16), '1.1.1.1 8.8.8.8 9.9.9.9', _('Targets'),
		_('An address is pinged; tcp://HOST:PORT, http://HOST/PATH and dns://SERVER/NAME are other probes. They take turns. Choose several that do not fail together.') ],
	[ 'probe_quorum', whole([ 1, 16 ]), '1', _('Quorum'), _('How many targets must answer.') ],
	[ 'probe_interval', duration('50ms', '1h'), '1s', _('Interval'),
		_('Time between two probes of a healthy uplink that carries traffic.') ],
	[ 'probe_standby_interval', duration('50ms', '1h'), '5s', _('Interval of a standby'),
		_('The same while another uplink carries the traffic. On a warm standby the default is 5m.') ],
	[ 'probe_confirm_interval', duration('20ms', '1m'), '50ms', _('Interval in doubt'),
		_('Time between two rounds of probes to all targets once a probe was missed.') ],
	[ 'probe_timeout', duration('10ms', '1m'), '1s', _('Time limit'),
		_('Upper limit of the time a probe may take. The working time limit adapts to the link below it.') ],
	[ 'probe_resolvers', list(values.resolver, 0, 8), '', _('Name servers'),
		_('They resolve the names in targets through the uplink. Empty: those of the system.') ]
];

const HEALTH = [
	[ 'health_sensitivity', words('fast', 'balanced', 'patient'), 'balanced', _('Sensitivity'),
		_('What a switch costs, in seconds without traffic: fast 0.5, balanced 2, patient 10.') ],
	[ 'health_outage_within', duration('200ms', '10m'), '10s', _('Longest silence'),
		_('After it an uplink is down, whatever its history says.') ],
	[ 'health_recover_after', duration('0s', '1h'), '3s', _('Recovers after'),
		_('Time for which an uplink that was down must answer before it is up.') ],
	[ 'health_window', duration('1s', '1h'), '30s', _('Window'),
		_('Time over which loss, latency and jitter are measured.') ],
	[ 'health_dwell', duration('0s', '1h'), '10s', _('Dwell'),
		_('Time for which an uplink stays degraded once it is, and up once it is again.') ],
	[ 'health_loss_enter', percent(1), '20.0', _('Loss: degraded from'), _('Percent.') ],
	[ 'health_loss_exit', percent(0), '5.0', _('Loss: healthy again at'), _('Percent.') ],
	[ 'health_latency_enter', duration('0s', '1m'), '500ms', _('Latency: degraded from'), '' ],
	[ 'health_latency_exit', duration('0s', '1m'), '300ms', _('Latency: healthy again at'), '' ],
	[ 'health_jitter_enter', duration('0s', '1m'), '100ms', _('Jitter: degraded from'), '' ],
	[ 'health_jitter_exit', duration('0s', '1m'), '50ms', _('Jitter: healthy again at'), '' ],
	[ 'health_score_enter', whole([ 0, 100 ]), '30', _('Score: degraded below'),
		_('The score combines loss, latency and jitter, 0 to 100; 0 turns the threshold off.') ],
	[ 'health_score_exit', whole([ 0, 100 ]), '50', _('Score: healthy again at'), '' ]
];

const LAST_LOW_TABLE = 252;
const LAST_TABLE = 4294967294;
const TABLE = whole([ 1, LAST_LOW_TABLE ], [ 256, LAST_TABLE ]);
/* The rules of uplinkd beside those of the file. */
const OWN_RULES = 8;

const TABS = {
	globals: {
		choice: [ _('Choice'), [
			[ 'failover_policy', policies, 'failover', _('Policy'),
				_('How the uplinks of the lowest usable tier share the traffic: the first carries it, the one with the best score does, or all do by weight.') ],
			[ 'failover_failback', words('auto', 'manual'), 'auto', _('Failback'),
				_('auto: a preferred uplink takes the traffic back by itself.') ],
			[ 'failover_soft', words('auto', 'always', 'off'), 'auto', _('Soft failover'),
				_('New connections leave an uplink in doubt before it is known to be down. always: also by a metered or cold standby.') ],
			[ 'failover_failback_after', duration('0s', '1d'), '60s', _('Failback after'),
				_('Time for which a preferred uplink must have been healthy before it takes the traffic back.') ],
			[ 'failover_failback_window', values.hours, 'always', _('Hours of failback'),
				_('Local hours in which a preferred uplink takes the traffic back. What fails is left at any time.') ],
			[ 'failover_best_margin', whole([ 1, 100 ]), '10', _('Margin of the best'),
				_('Policy best: points of score by which another uplink must be better.') ],
			[ 'failover_best_after', duration('10s', '1d'), '5m', _('Best after'),
				_('Policy best: time for which an advantage of twice the margin must last.') ],
			[ 'failover_damping_suppress', number('0.1', '1000'), '3.0', _('Damping: suppress'),
				_('Penalty above which an uplink does not take traffic back. An outage adds 1.') ],
			[ 'failover_damping_reuse', number('0.1', '1000'), '1.0', _('Damping: reuse'), _('Penalty at which it may again.') ],
			[ 'failover_damping_half_life', duration('1s', '1d'), '1h', _('Damping: half-life'),
				_('Time in which half of the penalty decays.') ],
			[ 'failover_damping_longest', duration('0s', '1d'), '6h', _('Damping: longest'),
				_('Longest suppression after the last outage; 0s turns damping off.') ],
			[ 'drill_rto', duration('100ms', '1h'), '2s', _('Drill: recovery time'), _('Longest recovery with which a drill passes.') ],
			[ 'drill_after_start', duration('0s', '1h'), '2m', _('Drill: after the start'),
				_('Time after the start of the agent before which no drill begins.') ],
			[ 'drill_schedule', values.schedule, 'off', _('Drill: schedule'),
				_('When the agent tests the failover by itself, in local time: "sun 03:30". The path of the active uplink really fails for 30 s.') ]
		] ],
		probe: [ _('Targets and probes'), PROBE ],
		health: [ _('Health'), HEALTH ],
		flows: [ _('Flows'), [
			[ 'routing_flows', words('move', 'keep'), 'move', _('At a failure'),
				_('move: flows of the uplink that is left start again through the new one.') ],
			[ 'routing_flows_on_failback', words('auto', 'keep', 'move'), 'auto', _('At a failback'),
				_('auto: established flows stay where they are, if they are remembered.') ],
			[ 'routing_flows_on_failback_limit', values.orAuto(duration('1s', '7d')), 'auto', _('Limit at a failback'),
				_('For how long they stay. auto: 1m on a metered uplink, 2h on others.') ],
			[ 'routing_flow_memory', words('auto', 'off'), 'auto', _('Flow memory'),
				_('Connection marks remember by which uplink a flow goes or came in.') ],
			[ 'routing_flow_mark', values.markBits, '0xff000000', _('Bits of marks'), _('No other software may use them.') ],
			[ 'routing_local_sockets', words('keep', 'end'), 'keep', _('Connections of the router'),
				_('end: its own clients connect again at once when flows are moved.') ]
		] ],
		routing: [ _('Routing'), [
			[ 'routing_mode', words('table', 'main'), 'table', _('Mode'),
				_('table: tables and rules of its own. main: default routes in the main table, without groups.') ],
			[ 'routing_on_stop', words('remove', 'keep'), 'remove', _('At a stop'), _('Routes and rules of uplinkd at a clean stop.') ],
			[ 'routing_protocol', whole([ 5, 255 ]), '117', _('Route protocol'), _('Changes at a restart only.') ],
			[ 'routing_table', TABLE, '11700', _('First table'), _('The tables of the uplinks follow it.') ],
			[ 'routing_group_table', TABLE, '11800', _('First table of groups'), '' ],
			[ 'routing_rule', whole([ 1, 32765 ]), '32000', _('First rule'), _('Its priority.') ],
			[ 'routing_default_rule', whole([ 1, 32765 ]), '32765', _('Last rule'), _('Its priority.') ],
			[ 'routing_mark', whole([ 1, 4294967295 ]), '1970274304', _('Mark of probes'), _('Of the first uplink; the others follow it.') ],
			[ 'routing_metric', whole([ 1, 1000000000 ]), '60', _('Metric'), _('In the mode main.') ],
			[ 'routing_nexthop', whole([ 1, 4294966783 ]), '11700000', _('First nexthop object'), _('For the policy balance.') ]
		] ],
		agent: [ _('Agent'), [
			[ 'agent_web', values.web, 'off', _('Status page'), _('Address of the status page, which is read only and not encrypted.') ],
			[ 'agent_web_allow', list(values.net, 0, Infinity), '', _('Readers of the status page'),
				_('Networks that may read it beside the router itself.') ],
			[ 'agent_metrics', values.metrics, 'off', _('Metrics'), _('Where Prometheus finds them.') ],
			[ 'agent_log', words('auto', 'syslog', 'journald', 'stderr'), 'auto', _('Log'), _('Changes at a restart only.') ],
			[ 'agent_ubus', values.ubus, 'auto', _('ubus'), _('These pages need it.') ],
			[ 'agent_ubus_mwan3', words('auto', 'off'), 'auto', _('mwan3 on ubus'),
				_('auto: the status is there in the form of mwan3 as well, where mwan3 is not installed.') ],
			[ 'agent_state_dir', values.directory, '/var/lib/uplinkd', _('State'),
				_('Directory of what outlives a restart. /var does not survive a reboot.') ],
			[ 'agent_hooks', values.directory, '/etc/uplinkd/hooks.d', _('Hooks'), _('Directory of the programs that run on each event.') ],
			[ 'agent_control', values.socket, '/run/uplinkd/control.sock', _('Control socket'), _('Changes at a restart only.') ],
			[ 'agent_record', values.fileOrOff, 'off', _('Recording'),
				_('File of all inputs, for uplinkd replay. It wears out flash. Changes at a restart only.') ]
		] ]
	},
	uplink: {
		uplink: [ _('Uplink'), [
			[ 'name', values.name, null, _('Name'), _('If it is not that of the section. May have - and . in it.') ],
			[ 'network', values.network, '', _('Network'), _('Network of the router. The device and the next hops follow it.') ],
			[ 'interface', values.interface, null, _('Device'), _('Where no network is chosen.') ],
			[ 'tier', whole([ 1, 1000 ]), null, _('Tier'), _('Lower is preferred. The lowest usable tier carries the traffic.') ],
			[ 'weight', whole([ 1, 255 ]), '1', _('Weight'), _('Share among the uplinks of one tier under the policy balance.') ],
			[ 'gateway', values.gateway, 'auto', _('IPv4 next hop'), _('none is for point-to-point and raw-ip links.') ],
			[ 'gateway6', values.gateway6, 'auto', _('IPv6 next hop'), '' ],
			[ 'prefixes', values.prefixes, 'auto', _('Delegated prefixes'),
				_('IPv6 prefixes of the provider for the networks behind the router; auto, or none.') ]
		] ],
		standby: [ _('Standby and data'), [
			[ 'metered', values.flag, '0', _('Metered'), _('Keeps the probes within the budget.') ],
			[ 'probe_budget', values.data('1 MB', '1 TB'), '50MB', _('Budget of probes'), _('In any 30 days, both directions.') ],
			[ 'allowance', values.dataOrOff('1 MB', '1000 TB'), 'off', _('Allowance'),
				_('What may go through it in a period, both ways, as its interface counts.') ],
			[ 'allowance_day', whole([ 1, 31 ]), '1', _('Begin of the period'), _('Day of the month; in a shorter month its last.') ],
			[ 'allowance_action', words('warn', 'last_resort', 'off'), 'warn', _('When it is used up'),
				_('last_resort: traffic only where no other uplink is usable. off: no traffic.') ],
			[ 'standby', words('hot', 'warm', 'cold'), 'hot', _('Standby'),
				_('hot: up, probed often. warm: up, probed every 5 minutes. cold: down, brought up when needed.') ],
			[ 'standby_linger', duration('0s', '1d'), '5m', _('Linger'), _('Time for which a cold uplink stays up after it was last needed.') ],
			[ 'ready_within', duration('1s', '1h'), '60s', _('Ready within'), _('Time in which a cold uplink must become usable.') ],
			[ 'exercise_every', duration('0s', '30d'), '0s', _('Exercise every'),
				_('A cold uplink is brought up to see whether it can be; 0s is never.') ]
		] ],
		probe: [ _('Targets and probes'), PROBE ],
		health: [ _('Health'), HEALTH ]
	},
	group: {
		group: [ _('Group'), [
			[ 'name', values.name, null, _('Name'), _('If it is not that of the section. May have - and . in it.') ],
			[ 'policy', policies, 'failover', _('Policy'),
				_('failover: the order of the list. best and balance: all of the list rank equally.') ],
			[ 'uplinks', list(values.nameOf('uplink', _('an uplink')), 1, Infinity), null, _('Uplinks'),
				_('Those that may carry it.') ],
			[ 'when_none', words('rest', 'drop'), 'rest', _('Without a usable uplink'),
				_('rest: the group follows the rest of the traffic. drop: its traffic is refused.') ]
		] ]
	},
	rule: {
		rule: [ _('Rule'), [
			[ 'group', values.nameOf('group', _('a group')), null, _('Group'), _('To which the traffic belongs.') ],
			[ 'from', values.nets, null, _('Source'), '' ],
			[ 'to', values.nets, null, _('Destination'), '' ],
			[ 'protocol', values.protocol, null, _('Protocol'), '' ],
			[ 'sport', values.ports, null, _('Source port'), '' ],
			[ 'dport', values.ports, null, _('Destination port'), '' ],
			[ 'iif', values.interface, null, _('Incoming device'), '' ],
			[ 'fwmark', values.marks, null, _('Mark'), _('That the firewall gave the packet, with an optional mask.') ],
			[ 'when', values.hours, null, _('Hours'), _('Local hours in which the rule applies.') ]
		] ]
	}
};

/* They must be there; an uplink needs a device or a network as well. */
const REQUIRED = { globals: [], uplink: [ 'tier' ], group: [ 'uplinks' ], rule: [ 'group' ] };

const rows = section => Object.values(TABS[section]).flatMap(([ , tab ]) => tab);
const row = (section, option) => rows(section).find(([ name ]) => name === option);
const asList = value => (Array.isArray(value) ? value : String(value ?? '').split(/\s+/)).filter(word => word !== '' && word !== 'none');
const isGiven = value => Array.isArray(value) ? value.length > 0 : value !== null && value !== undefined && value !== '';

/* Pairs of which the first must be more than the second, or at least as much. */
const ABOVE = [
	[ 'health_loss_enter', 'health_loss_exit', Number ],
	[ 'health_latency_enter', 'health_latency_exit', values.seconds ],
	[ 'health_jitter_enter', 'health_jitter_exit', values.seconds ],
	[ 'health_score_exit', 'health_score_enter', Number ],
	[ 'failover_damping_suppress', 'failover_damping_reuse', Number ]
];
/* Pairs of which the first must be at least the second wherever the named one is given here; `null`: always. */
const AT_LEAST = [
	[ 'probe_interval', 'probe_confirm_interval', 'probe_confirm_interval' ],
	[ 'probe_standby_interval', 'probe_interval', 'probe_standby_interval' ],
	[ 'health_window', 'probe_interval', null ]
];

/* What is wrong with an option beside others: `own` has the value of another option of this section or nothing, `inForce`
 * the one that counts. */
function conflict(section, option, value, { own, inForce, names, isTaken }) {
	const of = name => name === option ? value : inForce(name);
	const named = name => row(section, name)[3];
	for (const [ above, below, measure ] of ABOVE)
		if ((option === above || option === below) && !(measure(of(above)) > measure(of(below))))
			return option === above ? _('Must be more than "%s".').format(named(below)) : _('Must be less than "%s".').format(named(above));
	const isHere = name => isGiven(name === option ? value : own(name));
	for (const [ more, less, given ] of AT_LEAST)
		if ((option === more || option === less) && (given === null || isHere(given)) && values.seconds(of(more)) < values.seconds(of(less)))
			return option === more ? _('Must be at least "%s".').format(named(less)) : _('Must be at most "%s".').format(named(more));
	if (section === 'uplink' && option === 'probe_standby_interval' && own('standby') !== 'warm' &&
		values.seconds(value) > values.seconds(of('health_window')))
		return _('Must be at most "%s".').format(named('health_window'));
	if (option === 'probe_quorum' && value > asList(inForce('probe_targets')).length)
		return _('Must be at most the number of targets.');
	if (option === 'probe_targets' && asList(value).length < inForce('probe_quorum'))
		return _('Must be at least as many as the quorum.');
	if (option === 'name' && isTaken(section, value))
		return _('There is another of this name.');
	const lastTable = value <= LAST_LOW_TABLE ? LAST_LOW_TABLE : LAST_TABLE;
	const isFull = option === 'routing_table' && +value + names('uplink').length > lastTable ||
		option === 'routing_group_table' && +value + names('group').length - 1 > lastTable ||
		(option === 'routing_rule' || option === 'routing_default_rule') &&
		of('routing_default_rule') - of('routing_rule') < OWN_RULES + names('rule').length;
	if (isFull)
		return _('Must leave room for those that follow it.');
	if ((option === 'sport' || option === 'dport') && !values.hasPorts(own('protocol')))
		return _('Needs a protocol that has ports: tcp, udp, sctp or dccp.');
	if (option === 'exercise_every' && values.seconds(value) > 0 && own('standby') !== 'cold')
		return _('Only for a cold standby.');
	if (option === 'agent_web' && value !== 'off' && !values.isLoopback(value) && !asList(own('agent_web_allow')).length)
		return _('Must be an address of the router itself, as long as no network may read the page.');
	return null;
}

/* What is wrong with a whole section that one option shows. */
function absence(section, option, own) {
	const others = { uplink: [ 'interface', 'network' ], rule: [ 'from', 'to', 'iif', 'protocol', 'sport', 'dport', 'fwmark' ] }[section];
	if (REQUIRED[section].includes(option))
		return _('Must not be empty.');
	if (others && option === others[0] && !others.slice(1).some(name => isGiven(own(name))))
		return section === 'uplink' ? _('Choose a network or a device.') : _('A rule needs at least one condition.');
	return null;
}

/* What is wrong with the value of an option; null if nothing is. `around` has `own` and `inForce`, `names`: those
 * of the sections of a type, and `isTaken`: another section of a type has a name. */
function fault(section, option, value, around) {
	const kind = row(section, option)[1];
	if (!isGiven(value))
		return absence(section, option, around.own);
	const items = kind.isList ? asList(value) : [ value ];
	const isWord = kind.isList && kind.words && kind.words.includes(value);
	if (!isWord && !items.every(item => kind.accepts(item)))
		return _('Must be %s.').format(kind.each || kind.takes);
	if (kind.namesOf && !items.every(item => around.names(kind.namesOf).includes(item)))
		return _('There is none of this name.');
	if (kind.isList && (items.length < kind.least || items.length > kind.most))
		return _('Must have %s to %s entries.').format(kind.least, kind.most);
	if (kind.isList && !kind.mayRepeat && new Set(items).size < items.length)
		return _('Is there twice.');
	return conflict(section, option, value, around);
}

return baseclass.extend({
	tabs: section => TABS[section],
	rows: rows,
	required: section => REQUIRED[section],
	fault: fault
});
