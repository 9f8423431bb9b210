/* Loads modules as LuCI does, with stand-ins for what they need of LuCI. All of it is ours and for tests only: it shows
 * that the pages do what they should where LuCI does what is assumed here. As in LuCI a bare string given to E() is
 * HTML, and one in a list is text. */
'use strict';

String.prototype.format = function(...values) {
	return this.replace(/%([%sdh])/g, (mark, kind) => kind === '%' ? '%' : String(values.shift()));
};

const _ = text => text;
const toList = value => Array.isArray(value) ? value : value === null || value === undefined || value === '' ? [] : String(value).split(/\s+/);

function append(node, children) {
	if (Array.isArray(children))
		children.forEach(child => child !== null && node.append(child instanceof Node ? child : `${child}`));
	else if (children instanceof Node)
		node.append(children);
	else if (children !== null && children !== undefined)
		node.innerHTML = `${children}`;
	return node;
}

function E(tag, attributes, children) {
	const node = document.createElement(tag);
	if (!(attributes instanceof Object) || Array.isArray(attributes) || attributes instanceof Node)
		[ attributes, children ] = [ {}, attributes ];
	for (const [ name, value ] of Object.entries(attributes)) {
		if (typeof value === 'function')
			node.addEventListener(name, value);
		else if (value !== null && value !== undefined)
			node.setAttribute(name, value);
	}
	return append(node, children);
}

/* The machine that the pages find: what ubus answers, what the file holds, and what was done. */
const world = { answers: {}, uci: [], mayWrite: true, calls: [], notes: [], polls: [], modal: null };

const L = {
	isObject: value => value !== null && typeof value === 'object',
	toArray: toList,
	hasViewPermission: () => world.mayWrite,
	resolveDefault: (value, fallback) => Promise.resolve(value).catch(() => fallback)
};

class Option {
	constructor(section, option, title, help) {
		Object.assign(this, { section, option, title, help, choices: [], isList: false });
	}
	value(key, label) {
		this.choices.push([ String(key), label ?? String(key) ]);
	}
	cfgvalue(id) {
		return uci.get(null, id, this.option);
	}
	/* Only what is on the page has a field. */
	getUIElement(id) {
		const field = document.querySelector(`[data-field="${id}.${this.option}"]`);
		return field ? { getValue: () => this.isList ? toList(field.value) : field.value } : null;
	}
	/* What a list of sections shows. */
	textvalue(id) {
		return E('span', {}, [ toList(this.cfgvalue(id)).join(' ') ]);
	}
	render(id) {
		const value = toList(this.cfgvalue(id)).join(' ');
		return E('label', { 'title': this.help }, [
			this.title, ' ', E('input', { 'data-field': `${id}.${this.option}`, 'value': value, 'placeholder': this.placeholder }),
			E('span', {}, this.choices.map(([ , label ]) => E('i', {}, [ label ])))
		]);
	}
	check(id) {
		const value = this.getUIElement(id).getValue();
		const all = this.isList && value.length ? value : [ this.isList ? '' : value ];
		return all.map(one => this.validate(id, one)).find(verdict => verdict !== true) ?? true;
	}
}
class DynamicList extends Option {
	constructor(...given) {
		super(...given);
		this.isList = true;
	}
}

class Section {
	constructor(map, type, title) {
		Object.assign(this, { map, type, title, children: [], tabs: [] });
	}
	tab(name, title) {
		this.tabs.push([ name, title ]);
	}
	taboption(tab, kind, ...given) {
		const option = new kind(this, ...given);
		option.tab = tab;
		this.children.push(option);
		return option;
	}
	ids() {
		return uci.sections(null, this.type).map(section => section['.name']);
	}
}

const form = {
	Value: class extends Option {}, ListValue: class extends Option {}, Flag: class extends Option {}, DynamicList,
	GridSection: class extends Section {}, TypedSection: class extends Section {},
	Map: class {
		constructor(config, title, help) {
			Object.assign(this, { config, title, help, sections: [] });
			world.map = this;
		}
		section(kind, ...given) {
			const section = new kind(this, ...given);
			this.sections.push(section);
			return section;
		}
		render() {
			return Promise.resolve(E('div', {}, this.sections.flatMap(section => section.ids().map(id =>
				E('fieldset', {}, [
					/* A list shows what is not for the dialog alone, and the dialog what is not for the list alone. */
					E('p', {}, section.children.filter(option => !option.modalonly).map(option => option.textvalue(id))),
					...section.children.filter(option => option.modalonly !== false).map(option => option.render(id))
				])))));
		}
	}
};

const uci = {
	load: () => Promise.resolve(),
	sections: (config, type) => world.uci.filter(section => section['.type'] === type),
	get: (config, id, option) => (world.uci.find(section => section['.name'] === id) || {})[option],
	set: (config, id, option, value) => { world.uci.find(section => section['.name'] === id)[option] = value; },
	add: (config, type, name) => world.uci.push({ '.type': type, '.name': name })
};

const stands = {
	baseclass: { extend: members => members },
	view: { extend: members => members },
	dom: { content: (node, children) => { node.replaceChildren(); append(node, children); } },
	poll: { add: run => world.polls.push(run) },
	rpc: {
		declare: ({ object, method, params }) => (...given) => {
			world.calls.push([ object, method, Object.fromEntries((params || []).map((name, place) => [ name, given[place] ])) ]);
			const answer = world.answers[method];
			return answer === undefined ? Promise.reject(new Error('Object not found')) : Promise.resolve(answer);
		}
	},
	ui: {
		showModal: (title, children) => { world.modal = E('div', {}, children); },
		hideModal: () => { world.modal = null; },
		addNotification: (title, node, level) => world.notes.push([ node.textContent, level ])
	},
	form: form,
	uci: uci,
	network: { getNetworks: () => Promise.resolve([ 'loopback', 'lan', 'wan' ].map(name => ({ getName: () => name }))) },
	'tools.widgets': { DeviceSelect: class extends Option {} }
};

const loaded = {};

/* The module of this name, whose source and those that it needs are in `sources`. */
function load(sources, name) {
	if (stands[name])
		return stands[name];
	if (!loaded[name]) {
		const needs = [ ...sources[name].matchAll(/^'require ([^ ']+)(?: as ([^']+))?';$/gm) ];
		const module = new Function('_', 'E', 'L', ...needs.map(([ , path, as ]) => as ?? path), sources[name]);
		loaded[name] = module(_, E, L, ...needs.map(([ , path ]) => load(sources, path)));
	}
	return loaded[name];
}
