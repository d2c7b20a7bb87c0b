//! Tests of recipes: what each says, what is wrong with some.

use super::*;
use crate::config::{EMBEDDED, find};
use crate::error::Kind;
use rlhf_core::methods::sft;

#[test]
fn embedded_recipes_and_their_profiles_load() {
    for (name, _) in EMBEDDED {
        let plain = load(name, &[]).unwrap();
        assert_eq!(plain.name, name);
        for profile in ["quick", "smoke"] {
            let changed = load(name, &[format!("{profile}=true")]).unwrap();
            if plain.makes("base") {
                assert_ne!(changed.methods["pretrain"], plain.methods["pretrain"], "{name} {profile}");
            }
            assert_ne!(Recipe { quick: false, smoke: false, ..changed }, plain, "{name} {profile}");
        }
    }
}

#[test]
fn the_resolved_recipe_reads_back() {
    let recipe = load("mini", &["quick=true".into(), "sft.lr=0.25".into()]).unwrap();
    assert_eq!(recipe.method::<sft::Config>("sft", "L").optim.lr, 0.25);
    let again = parse("again", &recipe.to_toml(), &[]).unwrap();
    assert_eq!(again.methods, recipe.methods);
    assert_eq!(again, recipe, "its profiles are gone, and what they changed stays");
}

#[test]
fn unknown_keys_are_named_with_their_line() {
    let error = parse("my.toml", "[model.S]\nlayers = 1\n[sft]\nepohcs = 3\n", &[]).unwrap_err();
    assert_eq!(error.kind, Kind::Usage);
    assert_eq!(error.message, "my.toml:4: unknown key `epohcs`; did you mean `epochs`?");
}

#[test]
fn a_set_beats_the_profile() {
    let recipe = load("mini", &["quick=true".into(), "sft.epochs=77".into()]).unwrap();
    assert_eq!(recipe.method::<sft::Config>("sft", "S").epochs, 77.0);
    let error = load("mini", &["sft.epohcs=3".into()]).unwrap_err().message;
    assert_eq!(error, "--set sft.epohcs=3: unknown key `epohcs`; did you mean `epochs`?");
}

#[test]
fn what_types_cannot_say_is_checked() {
    let error = |text: &str| parse("x", text, &[]).unwrap_err().message;
    assert!(error("").contains("no model size"));
    assert!(error("[model.S]\nchannels = 10\nheads = 3").contains("multiple of heads"));
    assert!(
        error("[model.S]\n[model.L]\nlayers = 9\n[sft]\nlr = { S = 1.0 }").contains("sft.lr has no value for size L")
    );
    let ppo = error("[model.S]\n[ppo]\nbatch = 10\nminibatch = 3");
    assert_eq!(ppo, "x: ppo.batch = 10 is not a multiple of ppo.minibatch = 3");
}

#[test]
fn names_lead_nowhere_else() {
    let error = |text: &str| parse("x", text, &[]).unwrap_err();
    for size in ["/tmp/S", "../S", "a/b", ".", "", " S", "a\\b", "S.1", "C:S"] {
        let failure = error(&format!("[model.{size:?}]\nlayers = 1"));
        assert!(failure.kind == Kind::Usage && failure.message.contains("a size names folders"), "{size}: {failure}");
    }
    for name in ["/tmp/run", "../run", "", "..", "a/../../b"] {
        let message = error(&format!("name = {name:?}\n[model.S]")).message;
        assert!(message.contains("it names a folder"), "{name}: {message}");
    }
    assert!(parse("x", "name = \"my run v1.2\"\n[model.S-1_b]", &[]).is_ok());
}

#[test]
fn a_profile_is_read_even_when_nobody_asks_for_it() {
    let error = |text: &str| parse("x", text, &[]).unwrap_err().message;
    let high = error("[model.S]\n[profile.quick]\nppo = { lr = nan }");
    assert_eq!(high, "x with [profile.quick]: ppo.lr = NaN: it is a number above 0");
    let unknown = error("[model.S]\n[profile.smoke]\nppo = { mmax_new_tokens = 3 }");
    assert!(unknown.contains("[profile.smoke]") && unknown.contains("did you mean `max_new_tokens`"), "{unknown}");
    assert!(error("[model.S]\n[profile.fast]\nseed = 2").contains("there are quick and smoke"));
}

#[test]
fn no_such_recipe_suggests_one() {
    let error = find("mnii").unwrap_err().message;
    assert!(error.contains("Did you mean mini?"), "{error}");
}

#[test]
fn names_are_unique() {
    for (i, stage) in STAGES.iter().enumerate() {
        assert!(STAGES[..i].iter().all(|other| other.name != stage.name), "{} twice", stage.name);
    }
    let shown: Vec<&str> = shown().map(|s| s.name).collect();
    assert_eq!(shown, ["base", "prompted", "init", "sft", "ppo", "ppo_ptx"]);
    assert!(story_order("S.ppo") < story_order("S.ppo_ptx") && story_order("L.base") < story_order("S.sft"));
}

#[test]
fn a_recipe_names_key_range_and_value() {
    let error = |set: &str| {
        let failure = load("mini", &[set.to_string()]).unwrap_err();
        assert_eq!(failure.kind, Kind::Usage);
        failure.message
    };
    assert_eq!(error("sft.lr=nan"), "recipe mini: sft.lr = NaN: it is a number above 0");
    assert_eq!(error("sft.lr={ S = 1e-3, L = inf }"), "recipe mini: sft.lr = inf: it is a number above 0");
    for set in [
        "pretrain.batch=0",
        "pretrain.steps=0",
        "pretrain.steps=2.5",
        "sft.epochs=-1",
        "sft.dropout=2",
        "sft.pretrain_mix=1",
        "init.min_lr_ratio=-0.5",
        "ppo.clip=-1",
        "ppo.value_clip=nan",
        "ppo.gamma=1.5",
        "ppo.temperature=0",
        "ppo.ema=2",
        "model.S.layers=4611686018427387905",
        "model.S.context=9007199254740993",
        "data.holdout=1",
        "eval.max_new_tokens=0",
        "tokenizer.vocab=10",
        "rm.batch=9223372036854775807",
        "world.documents=9223372036854775807",
    ] {
        let (key, value) = set.split_once('=').unwrap();
        let (key, message) = (key.to_lowercase(), error(set).to_lowercase());
        assert!(message.contains(&format!("{key} = {value}: it is a ")), "{set}: {message}");
    }
}

/// A recipe of before, or one in other programs' words, says the same by today's names, in sections, profiles and
/// `--set`.
#[test]
fn old_spellings_go_on() {
    let old = "[model.S]\nhidden = 96\n[pretrain]\nlr_floor = 0.2\n[sft]\ngrad_clip = 2\ncheckpointing = true\n\
               [ppo]\nmax_new = 7\nmissing_end_penalty = 3\n[eval]\nmax_new = 9\n[profile.quick]\nppo = { max_new = 5 }";
    let new = "[model.S]\nintermediate_size = 96\n[pretrain]\nmin_lr_ratio = 0.2\n[sft]\nmax_grad_norm = 2\n\
               gradient_checkpointing = true\n[ppo]\nmax_new_tokens = 7\nmissing_eos_penalty = 3\n[eval]\n\
               max_new_tokens = 9\n[profile.quick]\nppo = { max_new_tokens = 5 }";
    for sets in [vec![], vec!["quick=true".to_string()], vec!["ppo.max_new=6".into()], vec!["model.S.hidden=64".into()]]
    {
        assert_eq!(parse("old", old, &sets).unwrap(), parse("new", new, &sets).unwrap(), "{sets:?}");
    }
    let others = "[model.S]\n[sft]\nlearning_rate = 1e-4\nnum_epochs = 2\nbatch_size = 8\n[pretrain]\nmax_steps = 7";
    let ours = "[model.S]\n[sft]\nlr = 1e-4\nepochs = 2\nbatch = 8\n[pretrain]\nsteps = 7";
    assert_eq!(parse("others", others, &[]).unwrap(), parse("ours", ours, &[]).unwrap());
    let both = parse("x", "[model.S]\n[sft]\ngrad_clip = 2\nmax_grad_norm = 1", &[]).unwrap_err().message;
    assert!(both.contains("another spelling of `max_grad_norm`"), "{both}");
}

/// Every number of every section has a range: NaN, and for whole numbers 2⁶³ − 1, is outside of it.
#[test]
fn every_key_has_a_range() {
    use crate::config::sections::{Data, Eval, Rankings, Shape, Tokenizer, World};
    let mut all = sections();
    all.extend([Section::of::<Data>("data"), Section::of::<World>("world"), Section::of::<Tokenizer>("tokenizer")]);
    all.extend([Section::of::<Shape>("model"), Section::of::<Rankings>("rankings"), Section::of::<Eval>("eval"), ROWS]);
    for section in all {
        for (key, value) in section.complete("", &Table::new(), &[]).unwrap() {
            for wrong in ["nan", "inf", "9223372036854775807"] {
                let meant = value.is_float() && wrong.len() == 3 || value.is_integer();
                let given = Table::from_iter([(key.clone(), crate::config::parse_value(wrong))]);
                let got = section.complete("", &given, &[]);
                assert!(!meant || got.is_err(), "{}.{key} takes {wrong}", section.name);
            }
        }
    }
}
