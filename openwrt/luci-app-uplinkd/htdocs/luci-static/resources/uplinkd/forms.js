'use strict';
'require baseclass';
'require form';
'require network';
'require uci';
'require tools.widgets as widgets';
'require uplinkd.options as options';
'require uplinkd.values as values';

/* The forms of the options that uplinkd.options has. */

const CONFIG = 'uplinkd';
const YES = [ '1', 'on', 'yes', 'true', 'enabled' ];

const globals = () => uci.sections(CONFIG, 'globals')[0] || {};

/* The names of the uplinks or groups that the file has. */
function names(type) {
	const all = uci.sections(CONFIG, type).map(section => section.name || section['.name']);
	return all.filter(name => values.name.accepts(name));
}

/* The value that the form shows, or else the file has. */
function shown(option, id, name) {
	const other = option.section.children.find(child => child.option === name);
	const widget = other ? other.getUIElement(id) : null;
	return widget ? widget.getValue() : uci.get(CONFIG, id, name);
}

function usual(type, name) {
	const [ , , value ] = options.rows(type).find(([ option ]) => option === name) || [];
	const isInherited = type !== 'globals' && options.rows('globals').some(([ option ]) => option === name);
	const common = isInherited ? globals()[name] : null;
	return common ?? value ?? '';
}

function validator(type) {
	return function(id, value) {
		const own = name => shown(this, id, name);
		const around = {
			own: own, inForce: name => own(name) || usual(type, name), names: names,
			isTaken: (type, name) => uci.sections(CONFIG, type).some(one => one['.name'] !== id && (one.name || one['.name']) === name)
		};
		const list = this instanceof form.DynamicList ? this.getUIElement(id) : null;
		/* An entry is looked at together with the others, and on its own while it is written. */
		const given = list ? [ list.getValue(), value ] : [ value ];
		const check = one => options.fault(type, this.option, one, around);
		return given.filter((one, place) => place === 0 || one).map(check).find(fault => fault !== null) ?? true;
	};
}

/* The kind of field that an option has. */
function field(type, name, kind) {
	if (name === 'interface' || name === 'iif')
		return widgets.DeviceSelect;
	if (kind.isFlag)
		return form.Flag;
	if (kind.namesOf && !kind.isList)
		return form.ListValue;
	if (kind.words)
		return kind.isList ? form.Value : form.ListValue;
	return kind.isList ? form.DynamicList : form.Value;
}

function add(section, type, tab, [ name, kind, , title, help ], lists) {
	const option = section.taboption(tab, field(type, name, kind), name, title, help);
	const fallback = [ usual(type, name) ].flat().join(' ');
	const isRequired = options.required(type).includes(name);
	option.rmempty = !isRequired;
	option.optional = !isRequired;
	option.placeholder = fallback;
	option.validate = validator(type);
	/* `false` would keep a column out of the dialog. */
	option.modalonly = lists.columns.includes(name) ? null : true;
	if (kind.words && !isRequired)
		option.value('', fallback ? _('default (%s)').format(fallback) : _('default'));
	for (const word of [ ...(kind.words || []), ...(kind.namesOf ? names(kind.namesOf) : []), ...(name === 'network' ? lists.networks : []) ])
		option.value(word);
	if (kind.isFlag)
		option.cfgvalue = id => {
			const value = uci.get(CONFIG, id, name);
			return value === null || value === undefined ? null : YES.includes(value) ? '1' : '0';
		};
	if (kind.joined)
		option.cfgvalue = id => [ uci.get(CONFIG, id, name) ?? [] ].flat().join(kind.joined) || null;
	/* A column shows the default where nothing is set. */
	if (!option.modalonly && !kind.isFlag)
		option.textvalue = id => {
			const value = [ uci.get(CONFIG, id, name) ?? [] ].flat().join(' ');
			return value ? E('span', {}, [ value ]) : E('em', {}, [ fallback || '–' ]);
		};
	/* The word for an empty list is no entry of one. */
	if (kind.isList)
		option.write = (id, value) => uci.set(CONFIG, id, name, [ value ].flat().join() === 'none' ? 'none' : value);
	if (name === 'interface' || name === 'iif')
		option.noaliases = true;
	return option;
}

/* A section of a map with all options of its type, in tabs. */
function build(map, kind, type, title, help, lists) {
	const section = map.section(kind, type, title, help);
	for (const [ tab, [ name, rows ] ] of Object.entries(options.tabs(type))) {
		section.tab(tab, name);
		for (const row of rows)
			add(section, type, tab, row, lists);
	}
	return section;
}

return baseclass.extend({
	/* The configuration, and the networks that netifd has. */
	load: function() {
		const found = network.getNetworks().then(all => all.map(one => one.getName()));
		return Promise.all([ uci.load(CONFIG), L.resolveDefault(found, []) ])
			.then(([ , all ]) => all.filter(name => name !== 'loopback' && values.network.accepts(name)));
	},

	/* A list of sections, of which some options are columns. */
	list: function(map, type, title, help, columns, networks) {
		const section = build(map, form.GridSection, type, title, help, { columns: columns, networks: networks || [] });
		section.addremove = true;
		section.sortable = true;
		section.nodescriptions = true;
		return section;
	},

	/* The section that holds for all uplinks. */
	common: function(map) {
		if (!globals()['.name'])
			uci.add(CONFIG, 'globals', 'globals');
		const section = build(map, form.TypedSection, 'globals', null, null, { columns: [], networks: [] });
		section.anonymous = true;
		return section;
	}
});
