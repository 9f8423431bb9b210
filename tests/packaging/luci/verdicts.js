/* Run by node with the modules and sections of a file on standard input: what the forms have, and what they say of each
 * section. */
const { sources, cases, names } = JSON.parse(require('fs').readFileSync(0));
const options = load(sources, 'uplinkd.options');

/* The verdict on the options of a section, there or not, as the forms give it. */
function isGood(type, section, globals) {
	const own = name => section[name];
	const usual = name => globals[name] ?? (options.rows(type).find(row => row[0] === name) || [])[2];
	const around = {
		own, inForce: name => own(name) ?? usual(name), names: type => names[type] ?? [],
		isTaken: (type, name) => names[type].includes(name)
	};
	return options.rows(type).every(([ name ]) => options.fault(type, name, own(name) ?? '', around) === null);
}

const forms = [ 'globals', 'uplink', 'group', 'rule' ].flatMap(type => options.rows(type).map(([ name, kind, usual, title, help ]) =>
	({ type, name, takes: kind.takes, usual, title, help, isRequired: options.required(type).includes(name) })));
console.log(JSON.stringify({ forms, verdicts: cases.map(([ type, own, globals ]) => isGood(type, own, globals) && isGood('globals', globals, {})) }));
