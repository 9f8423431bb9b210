'use strict';
'require baseclass';
'require uplinkd.show as show';

return baseclass.extend({
	title: _('Uplinks'),

	load: function() {
		return L.resolveDefault(show.status(), null);
	},

	render: function(status) {
		if (!status || !status.uplinks)
			return null;

		return E('div', {}, [
			E('p', {}, [ show.headline(status) ]),
			show.table([ _('Uplink'), _('State'), _('Carries'), _('Round trip'), _('Loss'), _('Since'), _('Reason') ],
				status.uplinks.map(uplink => [
					uplink.name, show.badge(uplink.state), show.carries(uplink, status),
					show.number(uplink.rtt_ms, 'ms', 1), show.number(uplink.loss_percent, '%', 1),
					show.time(uplink.since), show.why(uplink)
				]))
		]);
	}
});
