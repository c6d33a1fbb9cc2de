//! Any text at all goes through the pure parsers: what was quoted comes back, and nothing panics.

use cli::opts::Opts;
use cli::{date, dump, human, mode, size, words};
use proptest::prelude::*;

/// Every command of a script.
fn all(script: &str) -> Result<Vec<words::SimpleCommand>, words::WordsError> {
    let lists = words::split(script)?;
    Ok(lists.into_iter().flat_map(|list| list.pipelines).flat_map(|pipeline| pipeline.commands).collect())
}

fn texts(command: &words::SimpleCommand) -> Vec<String> {
    command.words.iter().map(words::Word::text).collect()
}

proptest! {
    #[test]
    fn quoted_words_come_back(
        commands in prop::collection::vec(prop::collection::vec("(?s).{0,12}", 1..5), 0..5),
    ) {
        let line = |words: &Vec<String>| words.iter().map(|w| words::quote(w)).collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = commands.iter().map(line).collect();
        for separator in [";", "\n", " ; # it's a comment\n"] {
            let script = lines.join(separator);
            let split = all(&script).unwrap();
            let found: Vec<_> = split.iter().map(texts).collect();
            prop_assert_eq!(&found, &commands);
            prop_assert_eq!(&words::plain(&script).unwrap(), &commands);
            let sources: Vec<_> = split.iter().map(|command| command.source.clone()).collect();
            prop_assert_eq!(&sources, &lines);
        }
    }

    #[test]
    fn every_command_splits_the_same_by_itself(script in "[a-c #;&\n\r\\\\'\"$|é]{0,24}") {
        if let Ok(commands) = all(&script) {
            for command in commands {
                let end = command.start + command.source.len();
                prop_assert_eq!(script.get(command.start..end), Some(&*command.source));
                let again = all(&command.source).unwrap();
                prop_assert_eq!(again.len(), 1);
                prop_assert_eq!(&again[0].words, &command.words);
            }
        }
    }

    #[test]
    fn errors_point_into_the_script(script in "(?s)[a-c ;&\n\\\\'\"é]{0,24}") {
        if let Err(error) = words::split(&script) {
            let line = script.split('\n').nth(error.line - 1).unwrap();
            prop_assert!(line.is_char_boundary(error.column - 1));
            let there = line[error.column - 1..].chars().next().unwrap();
            prop_assert!("&'\"\\".contains(there), "{error} in {script:?}");
        }
    }

    #[test]
    fn no_text_panics_any_parser(text in "(?s).{0,20}", spec in "[+a-c:]{0,6}") {
        let _ = words::split(&text);
        let _ = words::plain(&text);
        let _ = size::parse(&text, 4096, 512);
        let _ = size::parse_signed(&text, 0, 0);
        let _ = mode::parse_octal(&text);
        let args: Vec<&str> = text.split(' ').collect();
        if let Ok(opts) = Opts::parse(&spec, &args) {
            for (letter, value) in opts.options() {
                prop_assert!(opts.has(*letter));
                prop_assert_eq!(value.is_some(), opts.value(*letter).is_some());
            }
        }
    }

    #[test]
    fn printed_numbers_are_read_back(n in any::<u64>(), shift in 0usize..7) {
        for text in [format!("{n}"), format!("{n:#x}"), format!("0{n:o}")] {
            prop_assert_eq!(size::parse(&text, 0, 0), Ok(n));
        }
        let suffix = ["", "k", "M", "g", "T", "p", "E"][shift];
        let expected = u64::try_from(u128::from(n) << (10 * shift)).map_err(|_| size::SizeError::Overflow);
        prop_assert_eq!(size::parse(&format!("{n}{suffix}"), 0, 0), expected);
    }

    #[test]
    fn dates_come_back_and_stay_in_order(a in any::<i64>(), b in -100_000_000_000i64..100_000_000_000) {
        for (seconds, next) in [(a, a.saturating_add(1)), (b, b + 1)] {
            let date = date::DateTime::from_epoch(seconds);
            prop_assert_eq!(date.to_epoch(), Some(seconds));
            prop_assert!(date <= date::DateTime::from_epoch(next));
        }
        let _ = date::ls_style(a, b).to_string();
    }

    #[test]
    fn no_clock_register_panics(r in any::<[u8; 8]>(), century in any::<Option<u8>>()) {
        let [second, minute, hour, day, month, year, status_b, _] = r;
        let rtc = date::Rtc { second, minute, hour, day, month, year, century, status_b };
        prop_assert_eq!(rtc.decode().is_some(), rtc.to_epoch().is_some());
    }

    /// `f64` has 53 bits: the same three decimals unless the number is next to where they change.
    #[test]
    fn rates_agree_with_floating_point(done in 1u64..1 << 40, elapsed in 1u64..1 << 40) {
        let report = human::TransferReport { verb: "read", done, requested: done, offset: 0, ops: 1, elapsed };
        let line = report.condensed().to_string();
        let printed: f64 = line.split(',').nth(3).unwrap().parse().unwrap();
        let expected = done as f64 / (elapsed as f64 / 1e9);
        prop_assert!((printed - expected).abs() <= 0.0005001 + expected * 1e-12, "{line} {expected}");
    }

    #[test]
    fn no_number_panics_the_printers(n in any::<[u64; 5]>(), shift in 0u32..64) {
        let [done, requested, offset, ops, elapsed] = n.map(|n| n >> shift);
        let report = human::TransferReport { verb: "read", done, requested, offset, ops, elapsed };
        prop_assert_eq!(report.full().to_string().lines().count(), 2);
        prop_assert_eq!(report.condensed().to_string().split(',').count(), 5);
        prop_assert!(human::short(done).to_string().len() <= 5);
        prop_assert!(human::iec(done).to_string().len() <= 10);
        let _ = (human::size(done).to_string(), human::time(elapsed).to_string());
        prop_assert_eq!(mode::Letters(done as u16).to_string().len(), 10);
    }

    #[test]
    fn dumps_do_not_depend_on_the_pieces(
        bytes in prop::collection::vec(0u8..2, 0..200),
        cuts in prop::collection::vec(0usize..40, 0..20),
    ) {
        for start in [dump::Dump::canonical(5), dump::Dump::xfs(5)] {
            let (mut whole, mut pieces) = (String::new(), String::new());
            let mut dump = start.clone();
            dump.feed(&bytes, &mut whole).unwrap();
            dump.finish(&mut whole).unwrap();
            let (mut dump, mut rest) = (start, &bytes[..]);
            for cut in &cuts {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                dump.feed(piece, &mut pieces).unwrap();
                rest = after;
            }
            dump.feed(rest, &mut pieces).unwrap();
            dump.finish(&mut pieces).unwrap();
            prop_assert_eq!(whole, pieces);
        }
    }
}
