'use strict';
'require baseclass';
'require rpc';

/* What the agent reports, as nodes. All of its text is put into text nodes: a string alone would be HTML for E(). */

const STATES = {
	unknown: [ _('unknown'), '#5b5b5b' ],
	up: [ _('up'), '#1d6b3a' ],
	degraded: [ _('degraded'), '#8a5a00' ],
	down: [ _('down'), '#9c1f00' ],
	recovering: [ _('recovering'), '#0b5394' ],
	disabled: [ _('disabled'), '#5b5b5b' ],
	absent: [ _('absent'), '#9c1f00' ],
	cold: [ _('cold'), '#4a4f7a' ]
};

/* What the time of an uplink counts as: its word, its colour, and its top and height in a bar of 20. */
const ACCOUNTS = {
	idle: [ _('nothing known'), '#9a9a9a', 9, 2 ],
	up: [ _('up'), '#3f9d63', 3, 14 ],
	degraded: [ _('degraded'), '#d69a1f', 6, 8 ],
	planned: [ _('maintenance'), '#6f6f6f', 8, 4 ],
	outage: [ _('outage'), '#c43c1c', 0, 20 ]
};

const WAITS = {
	failback_after: _('waits until it has been healthy for long enough'),
	failback_manual: _('waits for "Automatic"'),
	failback_window: _('waits for the hours of failback'),
	damping: _('waits: it failed too often'),
	choice: _('waits: the traffic was sent elsewhere by hand'),
	doubt: _('waits for an answer'),
	allowance: _('its allowance is used up')
};

const WIDTH = 720;
const DAY = 86400;

function number(value, unit, digits) {
	return typeof value === 'number' ? `${value.toFixed(digits)} ${unit}` : '–';
}

function time(text) {
	const at = new Date(text);
	return Number.isNaN(at.getTime()) ? '–' : at.toLocaleString();
}

function badge(state) {
	const [ word, colour ] = STATES[state] || [ String(state), '#5b5b5b' ];
	return E('span', { 'class': 'label', 'data-state': state, 'style': `background:${colour};color:#fff` }, [ word ]);
}

function table(heads, rows) {
	return E('table', { 'class': 'table' }, [
		E('tr', { 'class': 'tr table-titles' }, heads.map(head => E('th', { 'class': 'th' }, [ head ]))),
		...rows.map(cells => E('tr', { 'class': 'tr' }, cells.map((cell, place) =>
			E('td', { 'class': 'td', 'data-title': heads[place] }, [ cell ].flat()))))
	]);
}

function why(uplink) {
	const waits = uplink.waits ? WAITS[uplink.waits.for] || String(uplink.waits.for) : null;
	const until = waits && uplink.waits.until ? ` (${_('until %s').format(time(uplink.waits.until))})` : '';
	const used = uplink.allowance ? [ _('%s of the allowance is used').format(number(uplink.allowance.used_percent, '%', 1)) ] : [];
	return [ uplink.reason, ...(waits ? [ waits + until ] : []), ...used ].join('; ');
}

/* What an uplink carries: the traffic of the default group, and that of the groups. */
function carries(uplink, status) {
	const groups = status.groups.filter(group => !group.with_rest && group.active.includes(uplink.name)).map(group => group.name);
	const all = [ ...(status.active.includes(uplink.name) ? [ _('carries') ] : []), ...groups ];
	return all.length ? E('strong', {}, [ all.join(', ') ]) : '–';
}

function svg(tag, attributes, children) {
	const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
	for (const [ name, value ] of Object.entries(attributes))
		node.setAttribute(name, value);
	node.append(...(children || []));
	return node;
}

/* The samples of a day as objects, by uplink. The text has a line for each, with commas between. */
function parse(text) {
	const known = value => value === '' ? null : Number(value);
	const uplinks = new Map();
	for (const line of String(text).split('\n').slice(1)) {
		const [ from, lasts, uplink, account, carried, rtt, p95, loss ] = line.split(',');
		if (loss === undefined)
			continue;
		if (!uplinks.has(uplink))
			uplinks.set(uplink, []);
		uplinks.get(uplink).push({
			from: Number(from), to: Number(from) + Number(lasts), account: account, carried: Number(carried),
			rtt: known(rtt), p95: known(p95), loss: known(loss)
		});
	}
	return uplinks;
}

/* A line through a figure, broken where nothing was measured. */
function line(samples, figure, x, top, colour, width) {
	let path = '', end = null;
	for (const one of samples) {
		if (one[figure] === null)
			continue;
		path += `${end === one.from ? 'L' : 'M'}${x((one.from + one.to) / 2).toFixed(1)} ${(86 - 56 * one[figure] / top).toFixed(1)}h.1`;
		end = one.to;
	}
	return svg('path', { d: path || 'M0 0', fill: 'none', stroke: colour, 'stroke-width': width, 'vector-effect': 'non-scaling-stroke' });
}

/* The day of an uplink: its states, what it carried, round trips and loss. */
function picture(name, samples, to) {
	const x = at => Math.max(0, Math.min(WIDTH, WIDTH * (1 - (to - at) / DAY)));
	const most = figure => {
		const known = samples.map(one => one[figure]).filter(value => value !== null);
		return known.length ? Math.max(...known) : null;
	};
	const [ rtt, loss ] = [ most('p95'), most('loss') ];
	const [ rttTop, lossTop ] = [ Math.max(1, rtt) * 1.1, Math.max(5, loss) ];
	const box = (one, top, height, colour) => svg('rect', {
		x: x(one.from).toFixed(1), y: top, width: Math.max(0.5, x(one.to) - x(one.from)).toFixed(1), height: height, fill: colour
	});
	const text = rtt === null && loss === null ? _('nothing was measured')
		: _('round trips up to %s, loss up to %s').format(number(rtt, 'ms', 1), number(loss, '%', 1));
	const rule = y => svg('line', { x1: 0, x2: WIDTH, y1: y, y2: y, stroke: '#9a9a9a', 'stroke-width': 0.5 });
	const drawing = svg('svg', {
		viewBox: `0 0 ${WIDTH} 112`, preserveAspectRatio: 'none', role: 'img', style: 'display:block;width:100%;height:112px'
	}, [
		svg('title', {}, [ `${name}: ${text}` ]),
		...samples.map(one => {
			const [ , colour, top, height ] = ACCOUNTS[one.account] || ACCOUNTS.idle;
			return box(one, top, height, colour);
		}),
		...samples.filter(one => one.carried >= 0.5).map(one => box(one, 22, 3, 'currentColor')),
		rule(88),
		...samples.filter(one => one.loss > 0).map(one => {
			const height = Math.max(1, 22 * one.loss / lossTop);
			return box(one, 112 - height, height, '#c43c1c');
		}),
		line(samples, 'p95', x, rttTop, '#8fb4de', 1),
		line(samples, 'rtt', x, rttTop, '#2f6fb5', 1.6)
	]);
	return E('div', { 'class': 'cbi-section', 'data-uplink': name }, [
		E('h4', {}, [ name, ' ', E('small', {}, [ text ]) ]),
		drawing,
		E('div', { 'style': 'display:flex;justify-content:space-between' }, [
			E('small', {}, [ time((to - DAY) * 1000) ]), E('small', {}, [ time(to * 1000) ])
		])
	]);
}

function key() {
	const mark = (colour, top, height, word) => E('span', { 'style': 'display:inline-flex;align-items:center;margin-right:1em' }, [
		svg('svg', { width: 24, height: 20 }, [ svg('rect', { x: 0, y: top, width: 20, height: height, fill: colour }) ]), word
	]);
	return E('p', {}, [
		...Object.values(ACCOUNTS).map(([ word, colour, top, height ]) => mark(colour, top, height, word)),
		mark('currentColor', 9, 3, _('carries')),
		mark('#2f6fb5', 9, 2, _('round trip, median')),
		mark('#8fb4de', 9, 1, _('round trip, 95th percentile')),
		mark('#c43c1c', 6, 8, _('loss'))
	]);
}

return baseclass.extend({
	number: number,
	time: time,
	badge: badge,
	table: table,
	why: why,
	carries: carries,
	svg: svg,

	/* The status; null where the agent does not answer. */
	status: rpc.declare({ object: 'uplinkd', method: 'status' }),
	history: rpc.declare({ object: 'uplinkd', method: 'history', params: [ 'since' ] }),
	measured: rpc.declare({ object: 'uplinkd', method: 'day' }),

	/* Who carries the traffic, in a sentence. */
	headline: function(status) {
		const active = status.active.length ? _('Carrying: %s').format(status.active.join(', ')) : _('No uplink carries the traffic');
		return status.mode === 'manual' ? `${active} (${_('chosen by hand')})` : active;
	},

	/* The pictures of a day. */
	day: function(text) {
		const uplinks = parse(text);
		const all = [ ...uplinks.values() ].flat();
		if (!all.length)
			return E('p', {}, [ E('em', {}, [ _('Nothing has been measured yet.') ]) ]);
		const to = Math.max(...all.map(one => one.to));
		const within = samples => samples.filter(one => one.to > to - DAY);
		return E('div', {}, [ key(), ...[ ...uplinks ].map(([ name, samples ]) => picture(name, within(samples), to)) ]);
	},

	/* Events, the newest first. */
	events: function(events) {
		const side = value => Array.isArray(value) ? value.join(', ') || '–' : String(value ?? '–');
		const way = event => event.from === undefined && event.to === undefined ? '' : `${side(event.from)} → ${side(event.to)}`;
		return table([ _('Time'), _('Event'), _('Uplink'), _('Change'), _('Reason') ], events.slice().reverse().map(event =>
			[ time(event.at), event.event, event.uplink ?? event.group ?? '', way(event), event.reason ]));
	}
});
