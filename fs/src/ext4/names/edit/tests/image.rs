//! A directory of an image that mke2fs made, made anew by this editor: e2fsck has nothing to say.

use super::crafted::split_a_pair;
use super::*;
use ::tests::image::Image;
use std::string::String;
use std::{format, fs};

/// Returns an image with `links` names of 240 bytes for one file, in `/many`.
fn image(args: &[&str], links: usize) -> Image {
    let tree = Image::zeros(0);
    let folder = tree.folder().join("tree");
    fs::create_dir_all(folder.join("many")).unwrap();
    fs::write(folder.join("file"), "").unwrap();
    for number in 0..links {
        fs::hard_link(folder.join("file"), folder.join(format!("many/{number:0240}"))).unwrap();
    }
    let args = [&["-t", "ext4", "-d", folder.to_str().unwrap()], args].concat();
    Image::mke2fs(64 << 20, &args)
}

/// Returns the number behind `label` in what debugfs prints.
fn number_behind(text: &str, label: &str) -> u32 {
    let from = text.find(label).expect(label) + label.len();
    let digits = text[from..].trim_start().split(|c: char| !c.is_ascii_digit()).next().unwrap();
    digits.parse().expect(label)
}

/// Returns `/many` of `image`, without a block yet: it will get those that it has.
fn directory(image: &Image) -> (TestBlocks, u32) {
    let say = |request: &str| String::from_utf8(image.debugfs(request)).unwrap();
    let all = fs::read(image.path()).unwrap();
    let raw = RawSuperBlock::from_bytes(all[SUPERBLOCK as usize..][..1024].try_into().unwrap());
    let sb = SuperBlock::decode(&raw, all.len() as u64).unwrap();
    let seed = sb.seed;
    let mut dir = TestBlocks::new(sb, false);
    let stat = say("stat /many");
    dir.ino = number_behind(&stat, "Inode:");
    dir.seed = seed.map(|seed| seed.of_inode(dir.ino, number_behind(&stat, "Generation:")));
    dir.pool = say("blocks /many").split_whitespace().map(|number| number.parse().unwrap()).collect();
    let size = number_behind(&stat, "Size:");
    assert_eq!(dir.pool.len() as u64, u64::from(size) / dir.block_size(), "blocks of names alone");
    dir.left.set(dir.pool.len());
    let file = number_behind(&say("stat /file"), "Inode:");
    (dir, file)
}

#[test]
fn e2fsck_has_nothing_to_say_of_a_directory_that_was_made_here() {
    for (args, links, levels, has_pair) in [
        (&["-b", "1024"][..], 800, 2, true),
        (&["-b", "1024", "-O", "^metadata_csum"], 800, 2, true),
        (&["-b", "4096", "-O", "metadata_csum_seed"], 320, 1, false),
    ] {
        let image = image(args, links);
        let (dir, file) = directory(&image);
        let dir = dir.started();
        // 1. Names, as many as fit; some of them go again.
        let (mut model, mut random) = (Model::new(), Random(0x9_8765_4321));
        if has_pair {
            split_a_pair(&dir, &mut |name| {
                dir.add(name, file).unwrap();
                model.insert(name.to_vec(), (file, 1));
            });
        }
        for number in 0.. {
            let name = format!("é{number:0width$}", width = 5 + random.below(60)).into_bytes();
            if dir.add(&name, file).is_err() {
                break;
            }
            model.insert(name, (file, 1));
            if random.below(10) == 0 {
                let gone = model.keys().nth(random.below(model.len())).unwrap().clone();
                dir.edit().remove(dir.find(&gone).unwrap().pos).unwrap();
                model.remove(&gone);
            }
        }
        assert_eq!(dir.blocks() as usize, dir.pool.len());
        let (found, collisions) = dir.verify(&model);
        assert_eq!((found, collisions > 0), (levels, has_pair), "{args:?}");
        dir.verify_found(model.iter());
        // 2. To the image.
        for (number, bytes) in dir.bytes.borrow().iter() {
            image.poke(number * dir.block_size(), &bytes.0.borrow());
        }
        image.debugfs_write(&format!("set_inode_field /many flags {:#x}", EXTENTS_FL | INDEX_FL));
        image.debugfs_write(&format!("set_inode_field /file links_count {}", model.len() + 1));
        image.expect_clean();
        let dump = String::from_utf8_lossy(&image.debugfs("htree_dump /many")).into_owned();
        assert!(dump.contains(&format!("Indirect levels: {}", levels - 1)), "{dump}");
    }
}
