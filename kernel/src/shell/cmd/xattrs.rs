//! Commands about extended attributes: getfattr, setfattr.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use cli::opts::Opts;
use cli::regex::{Language, Regex};
use cli::xattr::{self, Encoding};
use fs::vfs::SetXattr;

use super::super::command::{ANY, Command, CommandResult, On, complaint};
use super::super::{Shell, text};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "getfattr",
        operands: "FILE...",
        about: "show extended attributes",
        options: &[
            ("-n NAME", "that one (user.x), with its value"),
            ("-d", "values too"),
            ("-m PATTERN", "names that match it; - for all (^user\\.)"),
            ("-e text|hex|base64", "how values are shown"),
            ("--only-values", "values alone, as they are"),
            ("-h", "links themselves"),
        ],
        spec: "n:dm:e:h only-values=V name=n dump=d match=m encoding=e no-dereference=h absolute-names=A",
        count: 1..=ANY,
        run: getfattr,
    },
    Command {
        name: "setfattr",
        operands: "FILE...",
        about: "set or remove an extended attribute",
        options: &[
            ("-n NAME", "set that one (user.x, trusted.x)"),
            ("-v VALUE", "to that: text, 0x and hexadecimal, or 0s and base64; empty without"),
            ("-x NAME", "remove that one"),
            ("-h", "links themselves"),
        ],
        spec: "n:v:x:h name=n value=v remove=x no-dereference=h",
        count: 1..=ANY,
        run: setfattr,
    },
];

fn getfattr(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let encoding = match opts.value('e') {
        None => None,
        Some(name) => Some(Encoding::parse(name).ok_or("no encoding: text, hex or base64").on(name)?),
    };
    let pattern = match opts.value('m') {
        Some("-") => "",
        Some(pattern) => pattern,
        None => "^user\\.",
    };
    let pattern = Regex::parse(pattern, Language::Extended, false).on(pattern)?;
    let one = opts.value('n');
    let values = opts.has('d') || opts.has('V') || one.is_some();
    sh.for_each("getfattr", opts.operands(), |sh, path| {
        let file = sh.walk(path, !opts.has('h')).on(path)?.file;
        let names = match one {
            Some(name) => Vec::from([text::encode(name).into_owned()]),
            None => {
                let mut names = file.list_xattrs().on(path)?;
                names.retain(|name| pattern.matches(&text::decode(name)));
                names.sort_unstable();
                names
            }
        };
        let mut headed = false;
        for name in names {
            let shown = text::decode(&name);
            let value = match values {
                true => Some(file.xattr(&name).on(&alloc::format!("{path}: {shown}"))?),
                false => None,
            };
            if opts.has('V') {
                sh.out.bytes(&value.unwrap_or_default())?;
                continue;
            }
            if !core::mem::replace(&mut headed, true) {
                let relative = if opts.has('A') { path } else { path.trim_start_matches('/') };
                let relative = sh.shown(relative).into_owned();
                writeln!(sh.out, "# file: {relative}")?;
            }
            let mut line = shown;
            if let Some(value) = value {
                line.push('=');
                line += &encoded(&value, encoding);
            }
            let line = sh.shown(&line).into_owned();
            writeln!(sh.out, "{line}")?;
        }
        if headed { Ok(writeln!(sh.out)?) } else { Ok(()) }
    })
}

fn encoded(value: &[u8], encoding: Option<Encoding>) -> String {
    xattr::encode(value, encoding.unwrap_or_else(|| Encoding::fitting(value)), text::decode)
}

fn setfattr(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let value = opts.value('v');
    let change = match (opts.value('n'), opts.value('x')) {
        (Some(name), None) => {
            let value =
                value.map(|value| xattr::decode(value, |text| text::encode(text).into_owned()).on(value));
            (name, Some(value.transpose()?.unwrap_or_default()))
        }
        (None, Some(_)) if value.is_some() => return Err(complaint("-x takes no -v VALUE")),
        (None, Some(name)) => (name, None),
        (Some(_), Some(_)) => return Err(complaint("one of -n and -x")),
        (None, None) => return Err(complaint("option -n NAME or -x NAME is missing")),
    };
    let (name, value) = change;
    let key = text::encode(name);
    sh.for_each("setfattr", opts.operands(), |sh, path| {
        let file = sh.walk(path, !opts.has('h')).on(path)?.file;
        let done = match &value {
            Some(value) => file.set_xattr(&key, value, SetXattr::Any),
            None => file.remove_xattr(&key),
        };
        done.on(&alloc::format!("{path}: {name}"))
    })
}
