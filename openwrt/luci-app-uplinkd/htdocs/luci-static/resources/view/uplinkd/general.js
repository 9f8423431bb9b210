'use strict';
'require view';
'require form';
'require uplinkd.forms as forms';

return view.extend({
	load: () => forms.load(),

	render: function() {
		const map = new form.Map('uplinkd', _('Uplinks: general'),
			_('What holds for all uplinks. Targets, probes and health may be set for one uplink as well. Empty fields are at their default.'));
		forms.common(map);
		return map.render();
	}
});
