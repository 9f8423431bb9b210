//! What the parser guarantees, on a command that has an argument of each form.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::*;
use crate::cli::COMMANDS;
use crate::units::sorted::SortedSet;

const SPAN: Argument = Argument {
    form: ArgumentForm::Valued("SPAN"),
    help: "How long",
    default: Some(|| "30d"),
    ..Argument::named("for")
};
const SHIFT: Argument = Argument {
    form: ArgumentForm::Dashed("N"),
    ..Argument::named("shift")
};
const DRAIN: Argument = Argument {
    form: ArgumentForm::Optional {
        value: "LIMIT",
        usual: "10m",
    },
    ..Argument::named("drain")
};
const JSON: Argument = Argument {
    excludes: &["shift"],
    ..Argument::named("json")
};
const SHAPE: Argument = Argument {
    form: ArgumentForm::Word("SHAPE"),
    help: "Which shape",
    choices: &["round", "square"],
    ..Argument::named("shape")
};
const FILES: Argument = Argument {
    form: ArgumentForm::OptionalWord("FILE"),
    help: "Where it is",
    is_repeatable: true,
    ..Argument::named("file")
};
static DRAW: CommandRow = CommandRow {
    form: CommandForm {
        name: "draw",
        about: "Draw a shape",
        arguments: &[SPAN, SHIFT, DRAIN, JSON, SHAPE, FILES],
    },
    connection: &[],
    run: |_| Ok(ExitCode::SUCCESS),
};

fn read(words: &[&str]) -> Result<Option<Given>, UsageError> {
    let words: Vec<_> = words.iter().map(OsString::from).collect();
    Given::read(DRAW, &mut lexopt::Parser::from_args(words))
}

fn given(words: &[&str]) -> Given {
    let given = read(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    given.expect("no help is asked for")
}

/// Why these words are refused. Each refusal names the command, and ends with its usage and where its help is.
fn refusal(words: &[&str]) -> String {
    let Err(error) = read(words) else {
        panic!("{words:?} is taken");
    };
    let end = "\nUsage: uplinkd draw [OPTIONS] <SHAPE> [FILE]...\nHelp: uplinkd draw --help";
    let error = error.to_string();
    let what = error
        .strip_suffix(end)
        .and_then(|error| error.strip_prefix("draw: "));
    what.unwrap_or_else(|| panic!("{error}")).to_owned()
}

fn value(words: &[&str], argument: &Argument) -> Option<String> {
    let value = given(words).value(argument, text(str::parse::<String>));
    value.expect("any text is one")
}

#[test]
fn an_option_is_given_with_a_space_or_an_equals_sign() {
    for words in [&["--for", "2h", "round"][..], &["round", "--for=2h"]] {
        assert_eq!(value(words, &SPAN).as_deref(), Some("2h"));
    }
    assert_eq!(value(&["round", "--for="], &SPAN).as_deref(), Some(""));
    assert_eq!(value(&["round"], &SPAN).as_deref(), Some("30d"));
    assert_eq!(value(&["round"], &SHIFT), None);
    assert_eq!(refusal(&["--for"]), "--for <SPAN> needs a value");
    assert_eq!(refusal(&["--json=yes"]), "--json takes no value");
}

#[test]
fn a_value_that_looks_like_an_option_is_taken_after_an_equals_sign() {
    assert_eq!(value(&["round", "--for=-1"], &SPAN).as_deref(), Some("-1"));
    assert_eq!(refusal(&["--for", "-1"]), "--for <SPAN> needs a value");
    assert_eq!(refusal(&["--for", "--json"]), "--for <SPAN> needs a value");
    assert_eq!(value(&["round", "--for", "-"], &SPAN).as_deref(), Some("-"));
    assert_eq!(
        value(&["round", "--shift", "-1"], &SHIFT).as_deref(),
        Some("-1")
    );
}

#[test]
fn an_option_that_does_without_a_value_takes_one_after_an_equals_sign_only() {
    assert_eq!(value(&["--drain", "round"], &DRAIN).as_deref(), Some("10m"));
    assert_eq!(
        value(&["--drain=-2h", "round"], &DRAIN).as_deref(),
        Some("-2h")
    );
    assert_eq!(value(&["round"], &DRAIN), None);
}

#[test]
fn words_are_taken_in_their_order_wherever_options_stand() {
    let given = given(&["--json", "square", "a", "--for=1s", "b"]);
    let files = given.all(&FILES, path).expect("paths");
    assert_eq!(files, ["a", "b"].map(PathBuf::from));
    assert!(given.has(&JSON) && !given.has(&SHIFT));
    assert_eq!(
        value(&["--", "round", "--json"], &FILES).as_deref(),
        Some("--json")
    );
    assert_eq!(refusal(&["--json"]), "<SHAPE> is missing");
    assert_eq!(
        refusal(&["--json", "round", "", "--json"]),
        "--json is given twice"
    );
}

#[test]
fn an_unknown_command_names_the_nearest() {
    let refusal = |word: &str| {
        let error = crate::cli::run([OsString::from(word)]).expect_err("no command");
        error.to_string()
    };
    let end = "\nUsage: uplinkd <COMMAND>\nHelp: uplinkd --help";
    assert_eq!(
        refusal("statsu"),
        format!("there is no command `statsu`; did you mean `status`?{end}")
    );
    assert_eq!(refusal("xyz"), format!("there is no command `xyz`{end}"));
    assert_eq!(
        refusal("--verson"),
        format!("before a command there is no option `--verson`; did you mean `--version`?{end}")
    );
}

#[test]
fn an_unknown_option_or_choice_names_the_nearest() {
    assert_eq!(
        refusal(&["--jsn"]),
        "there is no option `--jsn`; did you mean `--json`?"
    );
    assert_eq!(refusal(&["--xyz=1"]), "there is no option `--xyz`");
    assert_eq!(refusal(&["-x"]), "there is no option `-x`");
    assert_eq!(
        refusal(&["rond"]),
        "<SHAPE> is one of round, square, not `rond`; did you mean `round`?"
    );
}

#[test]
fn arguments_that_exclude_each_other_are_refused_in_either_order() {
    for words in [
        ["round", "--json", "--shift=1"],
        ["--shift=1", "round", "--json"],
    ] {
        assert_eq!(refusal(&words), "--json and --shift <N> exclude each other");
    }
}

#[test]
fn a_text_that_is_not_utf_8_is_refused_and_a_path_is_taken() {
    let bytes = OsString::from_vec(b"a\xffb".to_vec());
    let words = ["round".into(), "--for".into(), bytes.clone(), bytes.clone()];
    let given = Given::read(DRAW, &mut lexopt::Parser::from_args(words));
    let given = given.expect("read").expect("no help");
    assert_eq!(
        given.need(&FILES, path).expect("a path"),
        PathBuf::from(bytes)
    );
    let refused = given.need(&SPAN, text(str::parse::<String>));
    let refused = refused.expect_err("no text").to_string();
    assert!(
        refused.starts_with("draw: --for <SPAN>: `a\u{fffd}b`: is not UTF-8\n"),
        "{refused}"
    );
}

#[test]
fn each_command_has_help() {
    assert!(
        read(&["--for", "x", "-h", "--json"])
            .expect("help")
            .is_none()
    );
    assert!(read(&["--help"]).expect("help").is_none());
    for width in [40, 80] {
        let program = of_program(&COMMANDS, width);
        for command in COMMANDS.iter() {
            assert!(
                program.contains(&format!("\n  {} ", command.form.name)),
                "{program}"
            );
            let help = of_command(command, width);
            assert!(
                help.contains(&format!("\nUsage: uplinkd {}", command.form.name)),
                "{help}"
            );
            for argument in command.arguments() {
                assert!(help.contains(&format!(" {argument}")), "{help}");
                assert!(!argument.help.is_empty(), "{help}");
            }
            let is_short = |line: &str| line.chars().count() <= width;
            assert!(help.lines().chain(program.lines()).all(is_short), "{help}");
        }
    }
}

#[test]
fn help_says_what_counts_by_default_and_what_is_possible() {
    let expected = "\
Draw a shape

Usage: uplinkd draw [OPTIONS] <SHAPE> [FILE]...

Arguments:
  <SHAPE>    Which shape [possible values:
             round, square]
  [FILE]...  Where it is
";
    let help = of_command(&DRAW, 48);
    assert!(help.starts_with(expected), "{help}");
    let span = "\n      --for <SPAN>\n          How long [default: 30d]\n";
    assert!(
        of_command(&DRAW, 40).contains(span),
        "{}",
        of_command(&DRAW, 40)
    );
}

#[test]
fn arguments_of_a_command_have_names_of_their_own_and_exclude_such_as_there_are() {
    for command in COMMANDS.iter() {
        let names = command.arguments().map(|argument| argument.name);
        let unique: SortedSet<_> = names.collect();
        assert_eq!(
            unique.len(),
            command.arguments().count(),
            "{}",
            command.form.name
        );
        let mut excluded = command.arguments().flat_map(|argument| argument.excludes);
        assert!(
            excluded.all(|name| unique.contains(name)),
            "{}",
            command.form.name
        );
    }
}

#[cfg(feature = "packaging")]
#[test]
fn the_table_and_the_completions_name_the_same() {
    let mut program = crate::cli::program();
    program.build();
    let commands: Vec<_> = program.get_subcommands().collect();
    assert_eq!(commands.len(), COMMANDS.len());
    for (command, row) in commands.iter().zip(COMMANDS.iter()) {
        assert_eq!(command.get_name(), row.form.name);
        let (help, arguments): (Vec<_>, Vec<_>) = command
            .get_arguments()
            .partition(|argument| argument.get_id() == "help");
        assert_eq!((help.len(), arguments.len()), (1, row.arguments().count()));
        for (argument, row) in arguments.into_iter().zip(row.arguments()) {
            let long = Some(row.name).filter(|_| !row.is_word());
            assert_eq!(
                (argument.get_id().as_str(), argument.get_long()),
                (row.name, long)
            );
            let choices = argument.get_possible_values();
            let choices: Vec<_> = choices
                .iter()
                .map(clap::builder::PossibleValue::get_name)
                .collect();
            let is_switch = matches!(row.form, ArgumentForm::Switch);
            assert!(is_switch || choices == row.choices, "{choices:?}");
        }
    }
}

#[cfg(feature = "packaging")]
#[test]
fn each_choice_of_a_shell_is_one_that_completions_are_made_for_or_words_that_they_ask_for() {
    let shells = <clap_complete::Shell as clap::ValueEnum>::value_variants();
    let mut known: Vec<_> = shells.iter().map(ToString::to_string).collect();
    known.extend(["uplinks", "scenarios"].map(str::to_owned));
    let row = COMMANDS
        .iter()
        .find(|command| command.form.name == "completions");
    assert_eq!(row.expect("a command").form.arguments[0].choices, known);
}
