'use strict';
'require baseclass';

/* Graphs of what /usr/libexec/uplinkd/collectd tells collectd, for luci-app-statistics. */

function graph(title, label, format, type, name, more) {
	return {
		title: `%H: ${title} - %pi`,
		vlabel: label,
		number_format: format,
		data: {
			...(name ? { instances: { [type]: [ name ] } } : { types: [ type ] }),
			options: { [name ? `${type}_${name}` : type]: { title: title, noarea: true, ...more } }
		}
	};
}

return baseclass.extend({
	title: _('Uplinks'),

	rrdargs: function() {
		return [
			graph('Round trip', 'ms', '%5.1lf ms', 'ping'),
			graph('Loss', '%', '%5.2lf %%', 'ping_droprate', null, { transform_rpn: '100,*' }),
			graph('Score', '', '%3.0lf', 'gauge', 'score'),
			graph('Carries', '', '%1.0lf', 'gauge', 'carries')
		];
	}
});
