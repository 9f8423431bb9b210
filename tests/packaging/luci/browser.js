/* Run by Chromium: draws each page, does what a person would, and leaves what came of it as JSON. */
'use strict';

const HOSTILE = '<img src=x onerror="world.hit=true"><b>&amp;';
const SINCE = '2026-11-20T10:00:00Z';

function uplink(name, more) {
	return {
		name, interface: 'eth1', tier: 1, weight: 1, state: 'up', active: false, score: 92, loss_percent: 0, rtt_ms: 12.14,
		jitter_ms: 0.8, since: SINCE, reason: 'answers', families: [ 'ipv4' ],
		targets: [ { target: '1.1.1.1', state: 'up', rtt_ms: 12.1, loss_percent: 0 } ], ...more
	};
}

function status(more) {
	return {
		version: '0', mode: 'auto', policy: 'failover', active: [ 'fiber' ], since: SINCE, groups: [], last_switch: null,
		uplinks: [
			uplink('fiber', { active: true }),
			uplink('lte', { state: 'down', rtt_ms: null, loss_percent: 100, score: null, jitter_ms: null, reason: 'does not answer' })
		], ...more
	};
}

const head = 'from,lasts,uplink,state,carried,rtt_ms,rtt_p95_ms,loss_percent\n';
const slot = (number, rest) => `${1795132800 + 300 * number},300,${rest}\n`;
const text = node => node.innerText.replace(/\s+/g, ' ').trim();
const rest = () => new Promise(done => setTimeout(done, 20));
const view = () => document.getElementById('view');

/* Puts a world into place, and draws a page in it. */
async function draw(name, given) {
	Object.assign(world, { answers: {}, uci: [], mayWrite: true, calls: [], notes: [], polls: [], modal: null, hit: false }, given);
	const page = { ...load(sources, name) };
	const data = page.load ? await page.load() : null;
	const node = await page.render(data);
	view().replaceChildren(...(node ? [ node ] : []));
	await rest();
	return node;
}

const buttons = () => [ ...view().querySelectorAll('button') ];
const commands = () => world.calls.filter(([ , method ]) => ![ 'status', 'history', 'day' ].includes(method));

async function overview() {
	await draw('view.status.include.35_uplinkd', { answers: { status: status() } });
	const rows = [ ...view().querySelectorAll('tr') ].map(row => [ ...row.children ].map(text));
	const badges = [ ...view().querySelectorAll('[data-state]') ].map(badge => [ badge.innerText, getComputedStyle(badge).backgroundColor ]);
	const headline = text(view().querySelector('p'));
	return { rows, badges, headline, absent: await draw('view.status.include.35_uplinkd', {}) === null };
}

async function commanded() {
	await draw('view.uplinkd.status', { answers: { status: status({ mode: 'manual' }), history: { history: [] }, day: { samples: head },
		switch: { refused: 'lte is down' }, auto: { done: 'the agent chooses' },
		drill: { event: { reason: 'failed: 3 s', drill: { result: 'failed' } } } } });
	const press = label => buttons().filter(button => button.innerText === label).at(-1).click();
	press('Switch');
	const question = text(world.modal);
	const before = commands().length;
	const [ cancel, confirm ] = world.modal.querySelectorAll('button');
	cancel.click();
	const cancelled = [ world.modal, commands().length ];
	press('Switch');
	world.modal.querySelectorAll('button')[1].click();
	await rest();
	press('Automatic');
	world.modal.querySelectorAll('button')[1].click();
	await rest();
	press('Drill');
	world.modal.querySelectorAll('button')[1].click();
	await rest();
	world.answers.drill = { event: { reason: 'passed: 1 s', drill: { result: 'passed' } } };
	press('Drill');
	world.modal.querySelectorAll('button')[1].click();
	await rest();
	delete world.answers.drill;
	press('Drill');
	world.modal.querySelectorAll('button')[1].click();
	await rest();
	return { question, confirm: confirm.innerText, before, cancelled, commands: commands(), notes: world.notes };
}

async function readOnly() {
	await draw('view.uplinkd.status', { mayWrite: false, answers: { status: status({ mode: 'manual' }), history: { history: [] }, day: { samples: '' } } });
	buttons().forEach(button => button.click());
	return { shown: text(view()), buttons: buttons().length, disabled: buttons().filter(button => button.disabled).length,
		commands: commands(), modal: world.modal };
}

async function hostile() {
	const bad = status({
		active: [ HOSTILE ], last_switch: { at: HOSTILE, from: [], to: [], reason: HOSTILE },
		groups: [ { name: HOSTILE, policy: HOSTILE, active: [ HOSTILE ], uplinks: [ HOSTILE ], with_rest: false } ],
		uplinks: [ uplink(HOSTILE, { active: true, interface: HOSTILE, state: HOSTILE, reason: HOSTILE, since: HOSTILE,
			waits: { for: HOSTILE, until: HOSTILE }, targets: [ { target: HOSTILE, state: HOSTILE, rtt_ms: HOSTILE, loss_percent: HOSTILE } ] }) ]
	});
	const events = [ { at: HOSTILE, event: HOSTILE, uplink: HOSTILE, from: HOSTILE, to: [ HOSTILE ], reason: HOSTILE } ];
	const answers = { status: bad, history: { history: events }, day: { samples: head + slot(0, `${HOSTILE},${HOSTILE},1,1,1,1`) },
		switch: { refused: HOSTILE } };
	const seen = {};
	const look = async (name, given) => {
		await draw(name, given);
		await rest();
		seen[name] = { hit: world.hit, images: document.querySelectorAll('img, b').length, shown: view().innerText.includes('<img') };
	};
	await look('view.status.include.35_uplinkd', { answers });
	await look('view.uplinkd.status', { answers });
	buttons().filter(button => button.innerText === 'Switch')[0].click();
	view().append(world.modal);
	world.modal.querySelectorAll('button')[1].click();
	await rest();
	seen.modal = { hit: world.hit, images: document.querySelectorAll('img, b').length, shown: world.notes[0][0].includes('<img') };
	const uci = [
		{ '.type': 'globals', '.name': 'globals', probe_targets: [ HOSTILE ], probe_interval: HOSTILE, agent_web: HOSTILE, health_sensitivity: HOSTILE },
		{ '.type': 'uplink', '.name': 'a', name: HOSTILE, interface: HOSTILE, network: HOSTILE, tier: HOSTILE },
		{ '.type': 'group', '.name': 'g', name: HOSTILE, uplinks: [ HOSTILE ], policy: HOSTILE },
		{ '.type': 'rule', '.name': 'r', group: HOSTILE, from: [ HOSTILE ] }
	];
	for (const name of [ 'general', 'uplinks', 'groups' ])
		await look(`view.uplinkd.${name}`, { uci });
	return seen;
}

async function pictures() {
	const samples = head + slot(0, 'fiber,up,1.000,12.1,15.0,0.0') + slot(1, 'fiber,outage,0.200,,,100.0') +
		slot(2, 'fiber,degraded,1.000,14.0,40.0,2.5') + slot(2, 'lte,idle,0.000,,,');
	const history = [
		{ at: SINCE, event: 'uplink.down', uplink: 'fiber', from: 'up', to: 'down', reason: 'first' },
		{ at: SINCE, event: 'switch', from: [ 'fiber' ], to: [ 'lte' ], reason: 'last' }
	];
	await draw('view.uplinkd.status', { answers: { status: status(), history: { history }, day: { samples } } });
	await rest();
	const of = name => {
		const drawing = view().querySelector(`[data-uplink="${name}"] svg[role]`);
		return { title: drawing.querySelector('title').textContent,
			boxes: [ ...drawing.querySelectorAll('rect') ].map(box => [ box.getAttribute('y'), box.getAttribute('height'), box.getAttribute('fill') ]),
			paths: [ ...drawing.querySelectorAll('path') ].map(path => (path.getAttribute('d').match(/[ML]\d/g) || []).map(step => step[0]).join('')) };
	};
	const past = [ ...view().querySelectorAll('table') ].at(-1);
	return { fiber: of('fiber'), lte: of('lte'), past: [ ...past.querySelectorAll('tr') ].slice(1).map(row => text(row).replace(/^.*(M|\d) (?=[a-z])/, '')),
		polled: world.polls.length };
}

async function forms() {
	const uci = () => [
		{ '.type': 'globals', '.name': 'globals', probe_interval: '3s' },
		{ '.type': 'uplink', '.name': 'fiber', network: 'wan', tier: '1', metered: 'yes' },
		{ '.type': 'uplink', '.name': 'second', name: 'lte', interface: 'wwan0', tier: '2' },
		{ '.type': 'group', '.name': 'voice', uplinks: 'lte fiber' },
		{ '.type': 'rule', '.name': 'cfg1', group: 'voice', iif: 'br-lan' }
	];
	const option = (type, name) => world.map.sections.find(section => section.type === type).children.find(one => one.option === name);
	const enter = (type, id, name, value) => {
		document.querySelector(`[data-field="${id}.${name}"]`).value = value;
		return option(type, name).check(id);
	};
	const fields = section => [ ...document.querySelectorAll(`[data-field^="${section.ids()[0]}."]`) ].map(field => field.dataset.field.split('.')[1]);
	const names = () => Object.fromEntries(world.map.sections.map(section => [ section.type, fields(section).sort() ]));
	const told = {};

	await draw('view.uplinkd.general', { uci: [] });
	told.begun = world.uci;
	await draw('view.uplinkd.general', { uci: uci() });
	told.general = { names: names(), tabs: world.map.sections[0].tabs.map(([ , title ]) => title),
		bad: enter('globals', 'globals', 'health_loss_exit', '30'), good: enter('globals', 'globals', 'health_loss_exit', '3'),
		word: enter('globals', 'globals', 'probe_interval', 'soon'), target: enter('globals', 'globals', 'probe_targets', '1.1.1.1 localhost') };
	option('globals', 'probe_resolvers').write('globals', [ 'none' ]);
	told.general.none = world.uci[0].probe_resolvers;

	await draw('view.uplinkd.uplinks', { uci: uci() });
	const choices = (type, name) => option(type, name).choices.map(([ key ]) => key);
	told.uplinks = { names: names(), networks: choices('uplink', 'network'), placeholder: option('uplink', 'probe_interval').placeholder,
		metered: [ option('uplink', 'metered').cfgvalue('fiber'), option('uplink', 'metered').cfgvalue('second') ],
		columns: text(view().querySelector('p')),
		none: [ enter('uplink', 'fiber', 'network', ''), option('uplink', 'interface').check('fiber') ],
		taken: enter('uplink', 'fiber', 'name', 'lte'), empty: enter('uplink', 'fiber', 'tier', '') };

	await draw('view.uplinkd.groups', { uci: uci() });
	told.groups = { names: names(), uplinks: choices('group', 'uplinks'), group: choices('rule', 'group'),
		stranger: enter('group', 'voice', 'uplinks', 'lte dsl'), port: enter('rule', 'cfg1', 'dport', '53'),
		protocol: enter('rule', 'cfg1', 'protocol', 'udp'), portAfter: option('rule', 'dport').check('cfg1') };
	return told;
}

async function run() {
	const told = {};
	for (const scene of [ overview, commanded, readOnly, hostile, pictures, forms ])
		told[scene.name] = await scene();
	return told;
}

const leave = told => { document.getElementById('told').textContent = JSON.stringify(told); };
run().then(leave, error => leave({ error: `${error}\n${error.stack}` }));
