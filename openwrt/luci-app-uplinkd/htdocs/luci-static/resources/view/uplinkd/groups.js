'use strict';
'require view';
'require form';
'require uplinkd.forms as forms';

return view.extend({
	load: () => forms.load(),

	render: function() {
		const map = new form.Map('uplinkd', _('Groups and rules'),
			_('Traffic that takes other uplinks, or another order of them, than the rest.'));
		const groups = forms.list(map, 'group', _('Groups'), null, [ 'policy', 'uplinks' ]);
		groups.anonymous = false;
		groups.modaltitle = id => `${_('Group')} ${id}`;
		const rules = forms.list(map, 'rule', _('Rules'),
			_('The first rule that matches counts; a packet must match every condition of it.'),
			[ 'group', 'from', 'to', 'protocol', 'dport' ]);
		rules.anonymous = true;
		rules.modaltitle = () => _('Rule');
		return map.render();
	}
});
