//! The shell's commands do what their namesakes do: every part of ext2 is reachable by the name people know.

use std::fs;
use tests::image::Image;
use tests::run::QemuRun;

const MIB: u64 = 1 << 20;

/// Runs commands in one machine. Each comes with what it prints and, after a `!`, the one error line it fails
/// with.
pub(crate) fn expect(image: &Image, commands: &[(&str, &str)]) {
    const MARK: &str = "@@@@";
    let lines: Vec<String> =
        commands.iter().map(|(command, _)| format!("echo {MARK}\n{command}\n")).collect();
    let script = image.folder().join("script");
    fs::write(&script, lines.concat()).expect("the script");
    let outcome = QemuRun::from_file(&script).pmem(image).args(["-k"]).outcome();
    let text = outcome.text();
    let printed: Vec<&str> = text.split(&format!("{MARK}\n")).skip(1).collect();
    assert_eq!(printed.len(), commands.len(), "{text}\n{}", outcome.stderr);
    let mut errors = outcome.stderr.lines();
    let mut wrong = Vec::new();
    let mut fails = false;
    for ((command, want), printed) in commands.iter().zip(printed) {
        let (want, error) = match want.split_once('!') {
            Some((want, error)) => (want, Some(error)),
            None => (*want, None),
        };
        let failure = error.and_then(|_| errors.next());
        if printed != want || failure != error {
            wrong.push(format!(
                "{command}\n  prints {printed:?}, {failure:?}\n  not    {want:?}, {error:?}\n"
            ));
        }
        fails |= error.is_some();
    }
    wrong.extend(errors.map(|line| format!("an error nobody expects: {line}\n")));
    assert!(wrong.is_empty(), "\n{}", wrong.concat());
    assert!(!fails || outcome.status == 1, "{}", outcome.status);
    image.expect_clean();
}

/// A tree of files of ours, with modes and times that are known.
fn tree() -> Image {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for dir in ["d/e", "empty", "big"] {
        fs::create_dir_all(at(dir)).expect("a folder");
    }
    fs::write(at("a"), "hello\n").expect("a file");
    fs::write(at("d/one"), "hellO\n").expect("a file");
    fs::write(at("d/e/two"), vec![7; 10_000]).expect("a file");
    fs::hard_link(at("a"), at("hard")).expect("a name");
    std::os::unix::fs::symlink("a", at("lnk")).expect("a link");
    std::os::unix::fs::symlink("/d/e", at("abs")).expect("a link");
    std::os::unix::fs::symlink("round", at("round")).expect("a link");
    for number in 0..300 {
        fs::write(at(&format!("big/f{number}")), "x").expect("a file");
    }
    Image::mke2fs(
        64 * MIB,
        &["-t", "ext2", "-b", "4096", "-I", "256", "-d", folder.path().to_str().expect("a plain path")],
    )
}

#[test]
fn files_are_found_counted_and_compared() {
    expect(
        &tree(),
        &[
            ("find /d", "/d\n/d/e\n/d/e/two\n/d/one\n"),
            ("cd /d; find -name '*o*' -type f; cd /", "./e/two\n./one\n"),
            ("find / -maxdepth 1 -type l -o -links 2 -type f", "/a\n/abs\n/hard\n/lnk\n/round\n"),
            ("find /d ! '(' -name two -o -name one ')'", "/d\n/d/e\n"),
            ("find / -size +9k -name 't*'", "/d/e/two\n"),
            ("find / -empty -type d", "/empty\n/lost+found\n"),
            ("find /d -depth -mindepth 1", "/d/e/two\n/d/e\n/d/one\n"),
            ("find / -name d -prune -o -name 'one' -print", ""),
            ("find /d -print0 > /list; wc -c /list; rm /list", "24 /list\n"),
            (
                "find /big -name 'f[12]?' -delete; find /big -name 'f??'  > /list; wc -l /list; rm /list",
                "70 /list\n",
            ),
            ("find /nothing", "!find: /nothing: no such file or directory"),
            ("du -ab /d", "10000\t/d/e/two\n14096\t/d/e\n6\t/d/one\n18198\t/d\n"),
            ("du -c /a /hard", "4\t/a\n4\ttotal\n"),
            ("du -sh /d/e", "16K\t/d/e\n"),
            ("du -d 1 /d", "16\t/d/e\n24\t/d\n"),
            ("cmp /a /hard", ""),
            ("cmp /a /d/one; echo", "/a /d/one differ: byte 5, line 1\n\n"),
            ("cmp /a /d/e/two; echo", "/a /d/e/two differ: byte 1, line 1\n\n"),
            ("cmp -s /a /d/one", ""),
            ("ls -F /", "a\nabs@\nbig/\nd/\nempty/\nhard\nlnk@\nlost+found/\nround@\n"),
            ("ls -R /d", "/d:\ne\none\n\n/d/e:\ntwo\n"),
            ("ls -rd /a /d", "/d\n/a\n"),
            ("ls -a /empty", ".\n..\n"),
            ("ls -A /empty", ""),
            ("readlink /lnk /abs", "a\n/d/e\n"),
            ("readlink -f /lnk /abs/two /abs/nothing /d/e/../one", "/a\n/d/e/two\n/d/e/nothing\n/d/one\n"),
            ("readlink /a", "!readlink: /a: not a symbolic link"),
            ("readlink -f /round", "!readlink: /round: too many levels of symbolic links"),
            ("readlink -f /nothing/x", "!readlink: /nothing/x: no such file or directory"),
        ],
    );
}

#[test]
fn names_that_are_links_devices_and_pipes() {
    let image = tree();
    expect(
        &image,
        &[
            ("ln /a /b; stat -c '%h %i' /a; cmp /a /b", "3 12\n"),
            ("ln /a /d/one /empty; ls /empty", "a\none\n"),
            ("cd /empty; ln /hard; cd /; stat -c %h /a", "5\n"),
            ("ln -s target /sym; readlink /sym; ln -s x /sym", "target\n!ln: /sym: file exists"),
            ("ln -sf other /sym; readlink /sym; ln -sf in /empty; readlink /empty/in", "other\nin\n"),
            ("ln -f /d/one /b; cmp /b /d/one; stat -c %h /a", "4\n"),
            ("ln -f /a /hard; stat -c %h /a", "4\n"),
            ("ln /d /dd", "!ln: /d: hard link not allowed for directory"),
            ("ln /a /a", "!ln: /a: file exists"),
            ("ln -f /a /a", "!ln: /a: is the same file as /a"),
            ("ln -T /a /d", "!ln: /d: file exists"),
            ("ln -sfT x /d", "!ln: /d: cannot be replaced: is a directory"),
            ("ln /nothing /x", "!ln: /nothing: no such file or directory"),
            ("mknod /null c 1 3; mknod -m 600 /blk b 259 1048575; mkfifo -m 622 /pipe; mknod /pipe2 p", ""),
            (
                "stat -c '%n %F %t,%T %a' /null /blk /pipe",
                "/null character special file 1,3 644\n/blk block special file 103,fffff 600\n/pipe fifo 0,0 622\n",
            ),
            (
                "touch -d @0 /null /blk /pipe; ls -l /null /blk /pipe",
                "brw------- 1 0 0 259, 1048575 Jan  1  1970 /blk\ncrw-r--r-- 1 0 0   1,       3 Jan  1  1970 /null\nprw--w--w- 1 0 0            0 Jan  1  1970 /pipe\n",
            ),
            ("find / -type c,b,p", "/blk\n/null\n/pipe\n/pipe2\n"),
            ("mkfifo /pipe", "!mkfifo: /pipe: file exists"),
            ("cat /null", "!cat: /null: not a regular file"),
            ("mv -n /b /hard; mv -T /b /bb; ls -d /b /bb", "/bb\n!ls: /b: no such file or directory"),
            ("mv -T --exchange /bb /d; cat /d; ls -d /bb/e; mv -T --exchange /bb /d", "hellO\n/bb/e\n"),
            ("mv -T /bb /d", "!mv: /bb to /d: is a directory"),
            ("mv --exchange /bb /nothing", "!mv: /bb to /nothing: no such file or directory"),
        ],
    );
    let text = String::from_utf8_lossy(&image.debugfs("stat /blk")).into_owned();
    assert!(text.contains("Type: block special") && text.contains("259:1048575"), "{text}");
}

#[test]
fn modes_owners_and_times_are_set_and_shown() {
    let image = tree();
    expect(
        &image,
        &[
            ("chmod 640 /a; stat -c '%a %A %h %F' /a", "640 -rw-r----- 2 regular file\n"),
            ("chmod u+x,g=u,o= /a; chmod -w /a; stat -c %a /a", "570\n"),
            ("chmod -R a=rX /d; stat -c '%n %a' /d /d/e /d/one", "/d 555\n/d/e 555\n/d/one 444\n"),
            ("chmod -R u+w /d; chmod 2755 /d; chmod 700 /d; stat -c %a /d", "2700\n"),
            (
                "chown 5:6 /a; chown -R 7 /d; chown :8 /d/one; stat -c '%u %g' /a /d/e/two /d/one",
                "5 6\n7 0\n7 8\n",
            ),
            ("chown -h 9 /lnk; stat -c %u /lnk /a", "9\n5\n"),
            ("chmod 6755 /d/one; chown 1 /d/one; stat -c %a /d/one", "755\n"),
            (
                "touch -d '2020-02-03 04:05:06.123456789' /a; stat -c '%x|%Y|%.3Y' /a",
                "2020-02-03 04:05:06.123456789 +0000|1580702706|1580702706.123\n",
            ),
            (
                "touch -a -t 199912312359.58 /a; stat -c '%x %y' /a",
                "1999-12-31 23:59:58.000000000 +0000 2020-02-03 04:05:06.123456789 +0000\n",
            ),
            ("touch -m -d @-1.5 /a; touch -r /a /made; stat -c '%X %.1Y' /made", "946684798 -1.5\n"),
            // The last moment that the format has.
            ("touch -c /none; touch -d @99999999999 /made; stat -c %Y /made", "15032385535\n"),
            ("rm -f /made; stat -c '%10s|%-5i|%05h|%#a|%q%%' /a", "         6|12   |00002|0570|?%\n"),
            ("stat --printf '%n\\t\\101\\n' /a", "/a\tA\n"),
            ("stat -c %N /lnk", "'/lnk' -> 'a'\n"),
            ("truncate -s 10 /ten; truncate -r /ten -s +5 /fifteen; stat -c %s /ten /fifteen", "10\n15\n"),
            (
                "mkdir -p -m 700 /p/q; stat -c %a /p /p/q; mkdir -m u=rx,go= /p/r; stat -c %a /p/r",
                "755\n700\n500\n",
            ),
            ("rmdir /p/r; rmdir -p /p/q; ls -d /p", "!ls: /p: no such file or directory"),
            (
                "io -c 'chmod -r' -c 'utimes 1 2 3 4' /a; stat -c '%a %.X %.Y' /a",
                "444 1.000000002 3.000000004\n",
            ),
            ("io -c 'utimes -5 2 -6 4' /a; stat -c '%X %Y' /a", "-5 -6\n"),
        ],
    );
    // What debugfs reads is what was set: an inode of 256 bytes has room for nanoseconds.
    let text = String::from_utf8_lossy(&image.debugfs("stat /a")).into_owned();
    assert!(text.contains("User:     5   Group:     6") && text.contains("Mode:  0444"), "{text}");
}

#[test]
fn extended_attributes_are_shown_as_getfattr_shows_them() {
    let image = tree();
    image.debugfs_write("ea_set /a user.theirs 12");
    let dump = "# file: a\nuser.b=0sAP8B\nuser.empty=\"\"\nuser.quote=\"say \\\"x\\\" \\\\\"\nuser.theirs=\"12\"\n\n";
    expect(
        &image,
        &[
            (
                "setfattr -n user.quote -v 'say \"x\" \\' /a; setfattr -n user.b -v 0x00ff01 /a; setfattr -n user.empty /a",
                "",
            ),
            ("setfattr -n trusted.t -v 0saGk= /a /d", ""),
            ("getfattr -d /a", dump),
            ("getfattr /a", "# file: a\nuser.b\nuser.empty\nuser.quote\nuser.theirs\n\n"),
            ("getfattr -d -m - -e hex /d /empty", "# file: d\ntrusted.t=0x6869\n\n"),
            ("getfattr -m '^user.[eq]' /a", "# file: a\nuser.empty\nuser.quote\n\n"),
            ("getfattr -m '^user.[a' /a", "!getfattr: ^user.[a: unmatched ["),
            ("getfattr -n user.b -e base64 --absolute-names /a", "# file: /a\nuser.b=0sAP8B\n\n"),
            ("getfattr --only-values -n trusted.t /a /d; echo", "hihi\n"),
            ("getfattr -n user.none /a", "!getfattr: /a: user.none: no such attribute"),
            ("setfattr -x user.b /a; getfattr -m user.b /a", ""),
            ("setfattr -x user.b /a", "!setfattr: /a: user.b: no such attribute"),
            ("setfattr -n user.b -v 0xz /a", "!setfattr: 0xz: bad input encoding"),
            ("setfattr -h -n user.x -v 1 /lnk", "!setfattr: /lnk: user.x: operation not permitted"),
            (
                "setfattr -n user.x -v through /lnk; getfattr -n user.x /a",
                "# file: a\nuser.x=\"through\"\n\n",
            ),
        ],
    );
    assert_eq!(image.debugfs("ea_get /a trusted.t").trim_ascii(), b"trusted.t (2) = \"hi\"");
}

/// Up to the first falloc, what xfs_io 6.1 prints on Linux's ext4 with the same history. Afterwards ext4 has
/// extents that nobody wrote, which it calls holes; ext2 has blocks of zeros, which are data.
#[test]
fn ranges_of_a_file_get_blocks_and_lose_them() {
    let image = tree();
    let a_r = "Whence\tStart\tResult\nHOLE\t0\t0\nDATA\t0\t8192\nHOLE\t8192\t12288\nDATA\t12288\t20480\nHOLE\t20480\t24576\n";
    expect(
        &image,
        &[
            ("truncate -s 64k /s; io -c 'pwrite -q 8k 4k' -c 'pwrite -q 20k 100' /s", ""),
            ("io -c 'seek -a -r -s 0' /s", a_r),
            (
                "io -c 'seek -a 0' -c 'seek -d 9k' -c 'seek -h 8k' /s",
                "Whence\tResult\nHOLE\t0\nDATA\t8192\nWhence\tResult\nDATA\t9216\nWhence\tResult\nHOLE\t12288\n",
            ),
            (
                "io -c 'seek -d -r 0' -c 'seek -h -r -s 9k' /s",
                "Whence\tResult\nDATA\t8192\nDATA\t20480\nWhence\tStart\tResult\nHOLE\t9216\t12288\nHOLE\t20480\t24576\n",
            ),
            (
                "io -c 'seek -d 40k' -c 'seek -a 40k' -c 'seek -h 64k' -c 'seek -a 1t' /s",
                "Whence\tResult\nDATA\tEOF\nWhence\tResult\nHOLE\t40960\nWhence\tResult\nHOLE\tEOF\nWhence\tResult\nDATA\tEOF\n",
            ),
            (
                "io -c 'falloc 0 16k' -c 'seek -h 0' -c 'fpunch 4k 8k' -c 'seek -d 4k' /s",
                "Whence\tResult\nHOLE\t16384\nWhence\tResult\nDATA\t12288\n",
            ),
            (
                "io -c 'fcollapse 4k 8k' -c 'seek -a -r 0' /s; stat -c %s /s",
                "Whence\tResult\nDATA\t0\nHOLE\t8192\nDATA\t12288\nHOLE\t16384\n57344\n",
            ),
            (
                "io -c 'finsert 4k 4k' -c 'seek -a -r 0' /s; stat -c %s /s",
                "Whence\tResult\nDATA\t0\nHOLE\t4096\nDATA\t8192\nHOLE\t12288\nDATA\t16384\nHOLE\t20480\n61440\n",
            ),
            (
                "io -c 'fzero 0 5000' -c 'pread -q -v 16384 2' -c 'falloc -k 0 1m' /s; stat -c %s /s",
                "00004000:  cd cd  ..\n61440\n",
            ),
            // Blocks beyond the end stay only while the file is open.
            (
                "fallocate -l 100k /fa; stat -c '%s %b' /fa; fallocate -n -o 1m -l 4k /fa; stat -c '%s %b' /fa",
                "102400 208\n102400 208\n",
            ),
            (
                "fallocate -p -o 4k -l 8k /fa; fallocate -c -o 0 -l 4k /fa; fallocate -i -o 0 -l 8KiB /fa; stat -c %s /fa",
                "106496\n",
            ),
            ("fallocate --zero-range --length 200k /fa; stat -c %s /fa", "204800\n"),
            ("io -c 'fcollapse 0 100' /fa", "!io: /fa: fcollapse: invalid argument"),
            ("io -c 'fcollapse 0 200k' /fa", "!io: /fa: fcollapse: invalid argument"),
            ("io -c 'finsert 200k 4k' /fa", "!io: /fa: finsert: invalid argument"),
            ("io -c 'falloc 0 0' /fa", "!io: /fa: falloc: invalid argument"),
            ("io -c 'fpunch 7e 4e' /fa", "!io: /fa: fpunch: file too large"),
            ("io -r -c 'fpunch 0 4k' /fa", "!io: /fa: fpunch: the file is open to read only"),
            ("io -c 'falloc 0 4k' /d", "!io: /d: falloc: the file is open to read only"),
        ],
    );
}

#[test]
fn what_nobody_can_do_is_one_clear_line() {
    let image = tree();
    let (longest, too_long) = ("n".repeat(255), "n".repeat(256));
    let long_path = format!("/{}", "d/".repeat(2100));
    let deepest = format!("{}a", "./".repeat(2040));
    let not_found = "no such file or directory";
    let mut commands: Vec<(String, String)> = Vec::new();
    let mut add = |command: &str, want: &str| commands.push((command.into(), want.into()));
    // Names and paths.
    for command in [
        "ls",
        "stat",
        "find",
        "du",
        "touch",
        "mkdir",
        "mkfifo",
        "chmod 644",
        "chown 1",
        "readlink -f",
        "getfattr",
    ] {
        let name = command.split(' ').next().unwrap_or_default();
        add(&format!("{command} ''"), &format!("!{name}: : {not_found}"));
        add(&format!("{command} /{too_long}"), &format!("!{name}: /{too_long}: file name too long"));
        add(&format!("{command} {long_path}"), &format!("!{name}: {long_path}: file name too long"));
    }
    add(
        &format!("cd /empty; touch {longest}; ls; rm {longest}; cd /; ls {deepest}"),
        &format!("{longest}\n{deepest}\n"),
    );
    add("ln /a ''", &format!("!ln: : {not_found}"));
    add("ln -s '' /x", &format!("!ln: /x: {not_found}"));
    add(&format!("ln -s {} /x", "t".repeat(4096)), "!ln: /x: file name too long");
    add(&format!("mv /a /{too_long}"), &format!("!mv: /{too_long}: file name too long"));
    add("mkfifo /d/", "!mkfifo: /d/: file exists");
    // Numbers.
    let eighth = "9223372036854775808";
    for (command, line) in [
        (format!("truncate -s {eighth} /a"), "truncate: /a: file too large".to_string()),
        (
            "truncate -s 18446744073709551616 /a".into(),
            "truncate: 18446744073709551616: number too large".into(),
        ),
        ("truncate -s +8e /a".into(), "truncate: /a: file too large".into()),
        (format!("fallocate -l {eighth} /a"), format!("fallocate: {eighth}: file too large")),
        ("fallocate -l 7e -o 7e /a".into(), "fallocate: /a: file too large".into()),
        ("fallocate -l 0 /a".into(), "fallocate: /a: invalid argument".into()),
        ("io -c 'falloc 7e 7e' /a".into(), "io: /a: falloc: file too large".into()),
        ("fallocate -l -1 /a".into(), "fallocate: -1: not a number".into()),
        (format!("io -c 'truncate {eighth}' /a"), format!("io: /a: truncate: {eighth}: number too large")),
        (format!("io -c 'seek -d {eighth}' /a"), format!("io: /a: seek: {eighth}: number too large")),
        ("io -c 'fpunch -1 4' /a".into(), "io: /a: fpunch: unknown option -1".into()),
        ("io -c 'fpunch 0' /a".into(), "io: /a: fpunch: bad argument count 1, expected 2 arguments".into()),
        ("io -c 'seek 0' /a".into(), "io: /a: seek: one of -a, -d and -h is missing".into()),
        ("io -c 'seek -a' /a".into(), "io: /a: seek: bad argument count 0, expected 1 arguments".into()),
        ("io -c 'seek -a x' /a".into(), "io: /a: seek: x: not a number".into()),
        (
            "io -c 'utimes 1 2 3' /a".into(),
            "io: /a: utimes: bad argument count 3, expected 4 arguments".into(),
        ),
        (
            "io -c 'utimes 1 1000000000 3 4' /a".into(),
            "io: /a: utimes: 1000000000: not a number of nanoseconds below 1000000000".into(),
        ),
        ("mknod /n c 4096 0".into(), "mknod: 4096: invalid major device number: 0 to 4095".into()),
        ("mknod /n c 0 -- -1".into(), "mknod: -1: invalid minor device number: 0 to 1048575".into()),
        ("mknod /n b 1".into(), "mknod: /n: a major and a minor device number are missing".into()),
        ("mknod /n p 1 2".into(), "mknod: /n: a named pipe has no device numbers".into()),
        ("mknod /n q".into(), "mknod: /n: invalid kind 'q': b, c or p".into()),
        (
            "chown 4294967296 /a".into(),
            "chown: 4294967296: invalid user: a number from 0 to 4294967294 is wanted".into(),
        ),
        ("chown 1:x /a".into(), "chown: 1:x: invalid group: a number from 0 to 4294967294 is wanted".into()),
        ("chmod 17777 /a".into(), "chmod: 17777: mode above 7777".into()),
        ("chmod u+q /a".into(), "chmod: u+q: no mode: 'q' is out of place".into()),
        ("chmod -Z /a".into(), "chmod: unknown option -Z".into()),
        ("chmod 644".into(), "chmod: missing operand after '644'".into()),
        ("chmod".into(), "chmod: missing operand".into()),
        ("touch -d yesterday /a".into(), "touch: yesterday: invalid date".into()),
        ("touch -t 13 /a".into(), "touch: 13: invalid date".into()),
        ("touch -r /none /a".into(), format!("touch: /none: {not_found}")),
        ("truncate /a".into(), "truncate: option -s SIZE is missing".into()),
        ("fallocate /a".into(), "fallocate: option -l LEN is missing".into()),
        ("fallocate -p -z -l 1 /a".into(), "fallocate: one of -p, -z, -c and -i at most".into()),
        ("fallocate -n -c -l 1 /a".into(), "fallocate: -c and -i change the size: not with -n".into()),
        ("fallocate -p -l 1 /none".into(), format!("fallocate: /none: {not_found}")),
        ("setfattr /a".into(), "setfattr: option -n NAME or -x NAME is missing".into()),
        ("getfattr -e morse /a".into(), "getfattr: morse: no encoding: text, hex or base64".into()),
        ("du -d -1 /".into(), "du: -1: not a number".into()),
        ("du -s -d 1 /".into(), "du: -s and -d exclude each other".into()),
        (
            "find / -size x".into(),
            "find: -size: x: not a number with at most one of c, w, b, k, M, G after it".into(),
        ),
        ("find / -newer /none".into(), format!("find: -newer: /none: {not_found}")),
        ("find / '('".into(), "find: ( without )".into()),
        ("mv -n --exchange /a /d".into(), "mv: -n and --exchange exclude each other".into()),
        ("mv -T /a /d /empty".into(), "mv: extra operand '/empty'".into()),
        ("mv --swap /a /d".into(), "mv: unknown option --swap".into()),
        ("ln -s".into(), "ln: missing operand".into()),
        ("stat --printf".into(), "stat: option --printf needs a value".into()),
        ("cmp /a".into(), "cmp: missing operand".into()),
        ("cmp /a /none".into(), format!("cmp: /none: {not_found}")),
        ("rmdir -p /d/e".into(), "rmdir: /d/e: directory not empty".into()),
    ] {
        add(&command, &format!("!{line}"));
    }
    let commands: Vec<(&str, &str)> = commands.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    expect(&image, &commands);
    assert_eq!(image.file("/a"), b"hello\n");
}
