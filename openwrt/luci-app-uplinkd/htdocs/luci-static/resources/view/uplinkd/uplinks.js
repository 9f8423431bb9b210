'use strict';
'require view';
'require form';
'require uplinkd.forms as forms';

return view.extend({
	load: () => forms.load(),

	render: function(networks) {
		const map = new form.Map('uplinkd', _('Uplinks and targets'),
			_('The ways to the internet. The lowest usable tier carries the traffic; in one tier the order of this list counts.'));
		const section = forms.list(map, 'uplink', null, null, [ 'network', 'interface', 'tier', 'weight', 'metered', 'standby' ], networks);
		section.anonymous = false;
		section.modaltitle = id => `${_('Uplink')} ${id}`;
		return map.render();
	}
});
