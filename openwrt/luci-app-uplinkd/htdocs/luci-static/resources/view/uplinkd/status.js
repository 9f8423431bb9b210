'use strict';
'require view';
'require dom';
'require poll';
'require rpc';
'require ui';
'require uplinkd.show as show';

/* Commands answer with `done`, `refused` or `not_found`, a drill with its event, or all with a status of ubus alone. */
const call = {
	switch: rpc.declare({ object: 'uplinkd', method: 'switch', params: [ 'uplink' ] }),
	auto: rpc.declare({ object: 'uplinkd', method: 'auto' }),
	disable: rpc.declare({ object: 'uplinkd', method: 'disable', params: [ 'uplink' ] }),
	enable: rpc.declare({ object: 'uplinkd', method: 'enable', params: [ 'uplink' ] }),
	drill: rpc.declare({ object: 'uplinkd', method: 'drill', params: [ 'uplink', 'for' ] })
};

const MOST_EVENTS = 100;
const DRAWN_FOR = 60000;
const DRILL_LASTS = '10s';

return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	load: function() {
		return L.resolveDefault(show.status(), null);
	},

	tell: function(answer) {
		const { done, refused, not_found, event } = L.isObject(answer) ? answer : {};
		const text = done || refused || not_found || event?.reason;
		const level = done || event?.drill?.result === 'passed' ? 'info' : 'warning';
		ui.addNotification(null, E('p', {}, [ text || _('The agent does not answer.') ]), level);
	},

	/* Asks, and does it when it is confirmed. */
	ask: function(title, question, run) {
		const finish = () => {
			ui.hideModal();
			return run().then(answer => this.tell(answer), error => this.tell({ refused: error.message })).then(() => this.look());
		};
		ui.showModal(title, [
			E('p', {}, [ question ]),
			E('div', { 'class': 'right' }, [
				E('button', { 'class': 'btn cbi-button', 'click': ui.hideModal }, [ _('Cancel') ]),
				' ',
				E('button', { 'class': 'btn cbi-button cbi-button-positive important', 'click': finish }, [ title ])
			])
		]);
	},

	button: function(style, title, question, run) {
		return E('button', {
			'class': `btn cbi-button cbi-button-${style}`,
			'disabled': L.hasViewPermission() ? null : '',
			'click': () => this.ask(title, question, run)
		}, [ title ]);
	},

	buttons: function(uplink) {
		const name = uplink.name;
		const isOff = uplink.state === 'disabled';
		return [
			this.button('action', _('Switch'), _('Send the traffic through %s until "Automatic" is chosen?').format(name), () => call.switch(name)),
			' ',
			isOff
				? this.button('positive', _('Enable'), _('End the maintenance of %s?').format(name), () => call.enable(name))
				: this.button('negative', _('Disable'), _('Take %s out for maintenance? It gets no traffic and is still probed.').format(name), () => call.disable(name)),
			' ',
			this.button('negative', _('Drill'),
				_('Test the failover? The path of %s really fails for %s, and its connections with it.').format(name, DRILL_LASTS),
				() => call.drill(name, DRILL_LASTS))
		];
	},

	now: function(status) {
		const last = status.last_switch;
		const auto = this.button('action', _('Automatic'), _('Let the agent choose the uplink again?'), () => call.auto());
		return [
			E('p', {}, [ E('strong', {}, [ show.headline(status) ]), ' ', status.mode === 'manual' ? auto : '' ]),
			E('p', {}, [ last ? _('Last switch %s: %s').format(show.time(last.at), last.reason) : '' ]),
			show.table(
				[ _('Uplink'), _('State'), _('Carries'), _('Round trip'), _('Loss'), _('Jitter'), _('Score'), _('Since'), _('Reason'), '' ],
				status.uplinks.map(uplink => [
					E('span', { 'title': uplink.interface }, [ uplink.name ]), show.badge(uplink.state), show.carries(uplink, status),
					show.number(uplink.rtt_ms, 'ms', 1), show.number(uplink.loss_percent, '%', 1),
					show.number(uplink.jitter_ms, 'ms', 1), show.number(uplink.score, '', 0),
					show.time(uplink.since), show.why(uplink), this.buttons(uplink)
				])),
			E('h3', {}, [ _('Targets') ]),
			show.table([ _('Uplink'), _('Target'), _('State'), _('Round trip'), _('Loss') ],
				status.uplinks.flatMap(uplink => uplink.targets.map(target => [
					uplink.name, target.target, show.badge(target.state), show.number(target.rtt_ms, 'ms', 1), show.number(target.loss_percent, '%', 1)
				]))),
			...(status.groups.length ? [
				E('h3', {}, [ _('Groups') ]),
				show.table([ _('Group'), _('Policy'), _('Uplinks'), _('Carried by') ], status.groups.map(group => [
					group.name, group.policy, group.uplinks.join(', '), group.with_rest ? _('follows the rest') : group.refused ? _('refused') : group.active.join(', ')
				]))
			] : [])
		];
	},

	draw: function(status) {
		dom.content(this.place.now, status && status.uplinks ? this.now(status) : [
			E('p', { 'class': 'alert-message warning' }, [ _('The agent does not answer: it does not run, or is not on ubus.') ])
		]);
	},

	/* Pictures and history, when the states are others or a minute has passed. */
	drawPast: function(status) {
		const states = JSON.stringify(status && status.uplinks ? [ status.active, status.uplinks.map(uplink => uplink.state) ] : null);
		if (states === this.states && Date.now() - this.drawn < DRAWN_FOR)
			return null;
		this.states = states;
		this.drawn = Date.now();
		return Promise.all([ L.resolveDefault(show.measured(), null), L.resolveDefault(show.history('7d'), null) ]).then(([ day, past ]) => {
			dom.content(this.place.day, [ show.day(L.isObject(day) ? day.samples : '') ]);
			dom.content(this.place.past, [ show.events(L.isObject(past) ? past.history.slice(-MOST_EVENTS) : []) ]);
		});
	},

	look: function() {
		return L.resolveDefault(show.status(), null).then(status => {
			this.draw(status);
			return this.drawPast(status);
		});
	},

	render: function(status) {
		this.place = { now: E('div'), day: E('div'), past: E('div') };
		this.draw(status);
		this.drawPast(status);
		poll.add(() => this.look(), 5);
		return E('div', {}, [
			E('h2', {}, [ _('Uplinks') ]),
			E('div', { 'class': 'cbi-section' }, [ this.place.now ]),
			E('div', { 'class': 'cbi-section' }, [ E('h3', {}, [ _('Last day') ]), this.place.day ]),
			E('div', { 'class': 'cbi-section' }, [ E('h3', {}, [ _('History') ]), this.place.past ])
		]);
	}
});
