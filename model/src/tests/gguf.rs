//! GGUF: what is written is read again, broken and hostile files are refused, no damage panics or costs memory.
use super::memory::peak;
use super::shared::{golden, shared};
use super::{all, gpt2, llama, mutate, shaken};
use crate::files::gguf::{self, Archive, Metadata, Value};
use crate::files::safetensors;
use crate::{ARCHS, Biases, Config, Dtype, HeadKind, Model, Rope, Scaling, Tokenizer, arch, convert, load, save};
use kernels::{Device, Rng};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

const END: &str = "<|endoftext|>";

fn toy() -> Tokenizer {
    Tokenizer::train(["the cat sat on the mat; the other cat sat on the hat. ".repeat(3)], 300, &[END])
}

/// A small model with a tokenizer, in a directory.
fn directory(config: &Config) -> (tempfile::TempDir, Model) {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = toy();
    let config = Config { vocab: 310, eos_ids: vec![tokenizer.eos(), 5], ..config.clone() };
    let model = shaken(&config, HeadKind::Lm);
    save(dir.path(), &model, Some(&tokenizer.to_json())).unwrap();
    fs::write(dir.path().join("chat_template.jinja"), "{{ messages }}").unwrap();
    (dir, model)
}

fn numbers(model: &Model) -> Vec<f32> {
    model.params.flat().to_vec()
}

#[test]
fn directories_become_files_and_directories_again() {
    for config in all().into_iter().filter(|config| unwritable(config).is_none()) {
        let (dir, model) = directory(&config);
        let (file, again) = (dir.path().join("x.gguf"), dir.path().join("again"));
        let wanted = Config { arch: read_as(&config), ..model.config().clone() };
        convert(dir.path(), &file, Dtype::F32).unwrap();
        let loaded = load(&file, &Device::Cpu).unwrap();
        assert_eq!((loaded.config(), numbers(&loaded)), (&wanted, numbers(&model)));
        convert(&file, &again, Dtype::F32).unwrap();
        let loaded = load(&again, &Device::Cpu).unwrap();
        assert_eq!((loaded.config(), numbers(&loaded)), (&wanted, numbers(&model)));
        let text = "the cat\n\n sat on<|endoftext|> Ünter 12";
        for path in [&file, &again] {
            let (tokenizer, toy) = (Tokenizer::of_model(path).unwrap().unwrap(), toy());
            assert_eq!(tokenizer.encode(text), toy.encode(text));
            assert_eq!(tokenizer.encode_with_special(text), toy.encode_with_special(text));
            assert_eq!((tokenizer.eos(), tokenizer.bos()), (toy.eos(), toy.bos()));
            let template = crate::chat_template(path).unwrap().unwrap();
            assert_eq!((&template.text[..], &template.tokens["eos_token"][..]), ("{{ messages }}", END));
        }
        let error = convert(dir.path(), &file, Dtype::F32).unwrap_err().to_string();
        assert!(error.contains("already"), "{error}");
    }
}

/// The architecture that its GGUF file is taken for.
fn read_as(config: &Config) -> &'static str {
    ARCHS.iter().find(|arch| arch.gguf.name == arch::of(config).gguf.name).unwrap().name
}

fn gguf_llama3(config: &Config) -> bool {
    config.rope.is_some_and(|rope| matches!(rope.scaling, Scaling::Llama3 { .. }))
}

/// What GGUF has no key for.
fn unwritable(config: &Config) -> Option<&'static str> {
    let usual = Config::new(arch::of(config), 61, 48, 2, 32, 4, config.heads.kv);
    match config {
        _ if gguf_llama3(config) && read_as(config) != "llama" => Some("llama3"),
        _ if config.sliding_window.is_some() => Some("sliding_window"),
        _ if config.activation != usual.activation => Some("activation"),
        _ if read_as(config) != "llama" && config.biases != usual.biases => Some("biases"),
        _ => None,
    }
}

#[test]
fn what_gguf_cannot_say_is_not_written() {
    let neox = Config::new(&arch::gpt_neox::ARCH, 61, 48, 2, 32, 4, 4);
    let neox = Config { biases: Biases { mlp: true, ..Biases::NONE }, ..neox };
    let long = Scaling::Llama3 { factor: 4.0, low: 1.0, high: 4.0, original: 16.0 };
    let qwen = Config {
        rope: Some(Rope { scaling: long, ..Rope::new(1e4, 8) }),
        ..Config::new(&arch::qwen2::ARCH, 61, 48, 2, 32, 4, 2)
    };
    let configs: Vec<_> =
        all().into_iter().chain([neox, qwen]).filter_map(|config| Some((unwritable(&config)?, config))).collect();
    for word in ["llama3", "sliding_window", "activation", "biases"] {
        assert!(configs.iter().any(|(says, _)| *says == word), "no example of {word}");
    }
    for (says, config) in configs {
        let (dir, _) = directory(&config);
        let error = convert(dir.path(), &dir.path().join("x.gguf"), Dtype::F32).unwrap_err().to_string();
        assert!(error.contains(says), "`{says}` not in: {error}");
    }
}

#[test]
fn narrower_numbers_are_close() {
    for config in [gpt2(), llama()] {
        let (dir, model) = directory(&config);
        for (dtype, tolerance) in [(Dtype::F16, 1e-3), (Dtype::Bf16, 8e-3), (Dtype::Q8_0, 1e-2)] {
            for name in [format!("{dtype:?}.gguf"), format!("{dtype:?}")] {
                let to = dir.path().join(&name);
                if dtype == Dtype::Q8_0 && !name.ends_with(".gguf") {
                    assert!(convert(dir.path(), &to, dtype).unwrap_err().to_string().contains("q8_0"));
                    continue;
                }
                convert(dir.path(), &to, dtype).unwrap();
                let loaded = load(&to, &Device::Cpu).unwrap();
                assert_eq!(loaded.config(), model.config());
                let worst =
                    numbers(&loaded).iter().zip(numbers(&model)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst > 0.0 && worst < tolerance, "{name}: off by {worst}");
                let kept = crate::describe(&to).unwrap().dtypes;
                assert!(kept.keys().any(|kind| kind.eq_ignore_ascii_case(&format!("{dtype:?}"))), "{kept:?}");
            }
        }
    }
}

#[test]
fn reward_models_stay_in_directories() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let model = shaken(&gpt2(), HeadKind::Score);
    save(dir.path(), &model, None).unwrap();
    let error = convert(dir.path(), &out.path().join("x.gguf"), Dtype::F32).unwrap_err().to_string();
    assert!(error.contains("reward model"), "{error}");
    convert(dir.path(), &out.path().join("x"), Dtype::F32).unwrap();
    let again = load(&out.path().join("x"), &Device::Cpu).unwrap();
    assert_eq!(numbers(&again), numbers(&model));
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1, "what failed left nothing behind");
}

/// Names, shapes, order of the numbers, configuration.
#[test]
fn the_models_of_transformers_come_back_tensor_by_tensor() {
    let folders = |root: PathBuf| ["gpt2", "llama", "qwen2", "qwen3", "gpt_neox"].map(|name| root.join(name));
    for dir in [Some(golden("")), shared("golden")].into_iter().flatten().flat_map(folders) {
        let name = dir.display();
        let out = tempfile::tempdir().unwrap();
        let config: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("config.json")).unwrap()).unwrap();
        let theirs = safetensors::Archive::open(&dir.join("model.safetensors")).unwrap();
        let tensors: Vec<_> =
            theirs.names().into_iter().map(|n| (n.clone(), theirs.shape(&n).unwrap().to_vec())).collect();
        let file = out.path().join("x.gguf");
        let described = gguf::describe(&Config::from_hf(&config).unwrap(), Dtype::F32).unwrap();
        gguf::write(&file, &config, &described, &tensors, Dtype::F32, |n, out| theirs.read_into(n, out)).unwrap();
        let ours = Archive::open(&file).unwrap();
        assert_eq!(ours.names().len(), tensors.len());
        for (tensor, shape) in &tensors {
            assert_eq!(ours.shape(tensor), Some(&shape[..]), "{name}: {tensor}");
            let mut numbers = vec![0.0; shape.iter().product()];
            ours.read_into(tensor, &mut numbers).unwrap();
            assert_eq!(numbers, theirs.read(tensor).unwrap(), "{name}: {tensor}");
        }
        let same = [
            "model_type",
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "n_embd",
            "n_head",
            "num_key_value_heads",
            "intermediate_size",
            "rms_norm_eps",
            "layer_norm_eps",
            "layer_norm_epsilon",
            "tie_word_embeddings",
            "use_parallel_residual",
            "max_position_embeddings",
            "n_positions",
            "rope_parameters",
        ];
        for key in same.into_iter().filter(|key| config.get(key).is_some()) {
            assert_eq!(ours.config[key], config[key], "{name}: {key}");
        }
    }
}

#[test]
fn tokenizers_come_back() {
    let text = "Führer 日本 I'll  see:\n\n\n1984 <|endoftext|> naïve\tof▁it <s>";
    for file in ["data/tokenizers/gpt2/encoder.json", "data/weights/stories260K/tok512.bin"] {
        let Some(path) = shared(file) else { return };
        let tokenizer = Tokenizer::from_file(&path).unwrap();
        let rows = tokenizer.vocab_size() + 3; // an embedding is often a little larger
        let mut metadata: Metadata = tokenizer.to_gguf(rows, &path).unwrap().into_iter().collect();
        let ids = [("eos_token_id", Some(tokenizer.eos())), ("bos_token_id", tokenizer.bos())];
        for (key, id) in ids.into_iter().filter_map(|(key, id)| Some((key, id?))) {
            metadata.insert(format!("tokenizer.ggml.{key}"), Value::Integer(id.into()));
        }
        let again = Tokenizer::from_gguf(&metadata, &path).unwrap().unwrap();
        assert_eq!((again.eos(), again.bos()), (tokenizer.eos(), tokenizer.bos()));
        for text in [text, "", " ", "Once upon a time, there was a little girl named Lily."] {
            assert_eq!(again.encode(text), tokenizer.encode(text), "{file}");
            assert_eq!(again.encode_with_special(text), tokenizer.encode_with_special(text), "{file}");
            assert_eq!(again.decode(&again.encode(text)), text);
        }
    }
}

/// Qwen's and Pythia's: composed by the `tokenizers` crate, which GGUF knows by the name of the split.
#[test]
fn tokenizers_that_compose_text_come_back() {
    let mut json: serde_json::Value = serde_json::from_str(&toy().to_json()).unwrap();
    json["normalizer"] = json!({"type": "NFC"});
    let composing = Tokenizer::from_json(&json.to_string()).unwrap();
    let write = |tokenizer: &Tokenizer| -> Metadata {
        let said = tokenizer.to_gguf(tokenizer.vocab_size(), Path::new("x")).unwrap().into_iter();
        let eos = ("tokenizer.ggml.eos_token_id".to_string(), Value::Integer(tokenizer.eos().into()));
        said.chain([eos]).collect()
    };
    let read = |said: &Metadata| Tokenizer::from_gguf(said, Path::new("x")).unwrap().unwrap();
    let mut said = write(&composing);
    let again = read(&said);
    for text in ["the cat sat", "na\u{308}ive 1984 <|endoftext|>", "nä\n\n x"] {
        assert_eq!(again.encode(text), composing.encode(text), "{text:?}");
        assert_eq!(again.encode_with_special(text), composing.encode_with_special(text), "{text:?}");
    }
    assert_eq!(again.encode("na\u{308}"), again.encode("nä"));
    assert_ne!(toy().encode("na\u{308}"), toy().encode("nä"));
    assert_eq!((again.eos(), again.bos(), again.vocab_size()), (toy().eos(), None, toy().vocab_size()));
    said.insert("tokenizer.ggml.pre".into(), Value::Text("qwen2".into()));
    let mut again = write(&read(&said));
    again.remove("rlhf.tokenizer_config"); // what the keys said, as a directory has it
    assert_eq!(again, said);

    json["normalizer"] = json!({"type": "NFKC"});
    let other = Tokenizer::from_json(&json.to_string()).unwrap();
    assert!(other.to_gguf(other.vocab_size(), Path::new("x")).unwrap_err().to_string().contains("NFKC"));
}

/// A file put together by hand.
#[derive(Clone)]
struct Made(Vec<u8>);

impl Made {
    fn new(tensors: u64, keys: u64) -> Made {
        Made([&b"GGUF\x03\0\0\0"[..], &tensors.to_le_bytes(), &keys.to_le_bytes()].concat())
    }
    fn with(mut self, bytes: impl AsRef<[u8]>) -> Made {
        self.0.extend(bytes.as_ref());
        self
    }
    fn u32(self, number: u32) -> Made {
        self.with(number.to_le_bytes())
    }
    fn u64(self, number: u64) -> Made {
        self.with(number.to_le_bytes())
    }
    fn text(self, text: &str) -> Made {
        self.u64(text.len() as u64).with(text)
    }
    fn tensor(self, name: &str, shape: &[u64], kind: u32, offset: u64) -> Made {
        let made = self.text(name).u32(shape.len() as u32);
        shape.iter().fold(made, |made, &n| made.u64(n)).u32(kind).u64(offset)
    }
    /// Up to the next multiple of 32, and so many bytes more.
    fn data(mut self, bytes: usize) -> Made {
        self.0.resize(self.0.len().next_multiple_of(32) + bytes, 0);
        self
    }
}

#[test]
fn hostile_files_are_refused() {
    let key = |kind: u32| Made::new(0, 1).text("k").u32(kind);
    let list = |kind: u32, count: u64| key(9).u32(kind).u64(count);
    let one = |shape: &[u64], kind: u32, offset: u64| Made::new(1, 0).tensor("t", shape, kind, offset);
    let cases = [
        (Made(b"".to_vec()), "ends at 0"),
        (Made(b"GGUF".to_vec()), "ends at 4"),
        (Made(b"GGML\x03\0\0\0".to_vec()), "start with GGUF"),
        (Made(b"GGUF\0\0\0\x03".to_vec()), "big-endian"),
        (Made(b"GGUF\x01\0\0\0".to_vec()), "version 1"),
        (Made(b"GGUF\x63\0\0\0".to_vec()), "version 99"),
        (Made::new(u64::MAX, 0), "at most 65536"),
        (Made::new(65_536, 0), "bytes are left"), // 24 bytes, llama.cpp and others once allocated for them
        (Made::new(0, u64::MAX), "at most 65536"),
        (Made::new(0, 60_000), "bytes are left"),
        (Made::new(0, 1).u64(u64::MAX).with([0; 64]), "at most 512"),
        (Made::new(0, 1).u64(500).with([0; 64]), "bytes are left"),
        (Made::new(0, 1).text("").u32(4).u32(0), "empty"),
        (Made::new(0, 1).text("a\nb").u32(4).u32(0), "control"),
        (Made::new(0, 1).u64(2).with([0xff, 0xfe]).u32(4).u32(0), "UTF-8"),
        (Made::new(0, 2).text("k").u32(4).u32(0).text("k").u32(4).u32(0), "twice"),
        (key(13).u32(0), "type 13"),
        (key(u32::MAX).u32(0), "unknown type"),
        (key(7).with([2]), "flag that is 2"),
        (key(10).u64(u64::MAX), "too large"),
        (key(8).u64(1 << 62).with([0; 32]), "at most"),
        (key(8).u64(1 << 19).with([0; 32]), "bytes are left"),
        (list(9, 1).u32(9).u64(1), "list of lists"),
        (list(77, 1), "unknown type"),
        (list(0, u64::MAX), "at most 4194304"),
        (list(0, 4 << 20), "bytes are left"), // 43 bytes that ask for 4 Mi items
        (list(8, 1 << 20), "bytes are left"),
        (list(10, 1 << 61), "at most"), // 2^61 items of 8 bytes: their product wraps to 0
        (list(8, 1).u64(65_537).with(vec![b'a'; 65_537]), "at most 65536"),
        (Made::new(0, 1).text("general.alignment").u32(4).u32(0), "power of two"),
        (Made::new(0, 1).text("general.alignment").u32(4).u32(48), "power of two"),
        (Made::new(0, 1).text("general.alignment").u32(4).u32(1 << 31), "power of two"),
        (Made::new(0, 1).text("general.alignment").u32(8).text("32"), "power of two"),
        (one(&[], 0, 0).data(64), "0 axes"),
        (one(&[1, 1, 1, 1, 1], 0, 0).data(64), "5 axes"),
        (Made::new(1, 0).text("t").u32(u32::MAX).data(64), "axes"),
        (one(&[0], 0, 0).data(64), "axis is 0"),
        (one(&[1 << 63], 0, 0).data(64), "too large"),
        (one(&[1 << 62, 4], 0, 0).data(64), "overflows"),
        (one(&[1 << 62], 0, 0).data(64), "overflows"),
        (one(&[1 << 32, 1 << 32, 2], 0, 0).data(64), "overflows"),
        (one(&[32], 4, 0).data(64), "stored as type 4"), // Q4_2, long gone
        (one(&[32], 200, 0).data(64), "stored as type 200"),
        (one(&[31], 8, 0).data(64), "blocks of 32"),
        (one(&[8], 0, 32).data(64), "starts at 32"),
        (one(&[8], 0, u64::MAX).data(64), "starts at"),
        (one(&[8], 0, 0).data(31), "does not fit"),
        (one(&[8], 0, 0), "does not fit"),
        (one(&[8], 0, 0).data(65), "its tensors end"),
        (one(&[1 << 61], 0, 0).data(32), "does not fit"),
        (Made::new(2, 0).tensor("t", &[8], 0, 0).tensor("t", &[8], 0, 32).data(64), "occurs twice"),
        (Made::new(2, 0).tensor("t", &[8], 0, 0).tensor("u", &[8], 0, 0).data(64), "starts at 0"),
        (Made::new(2, 0).tensor("t", &[8], 0, 0).tensor("u", &[8], 0, 64).data(96), "starts at 64"),
        (Made::new(2, 0).tensor("t", &[1 << 61], 0, 0).tensor("u", &[1 << 61], 0, 1 << 63).data(64), "overflow"),
        (Made::new(1, 0).tensor("", &[8], 0, 0).data(32), "empty"),
    ];
    for (Made(bytes), says) in cases {
        let (parsed, held) = peak(|| gguf::parse(&bytes));
        let error = parsed.err().unwrap_or_else(|| panic!("accepted, expected `{says}`: {bytes:?}")).to_string();
        assert!(error.contains(says), "`{says}` not in: {error}");
        assert!(held < (1 << 20) + 8 * bytes.len(), "{held} bytes for {error}");
    }
    assert!(gguf::parse(&one(&[8], 0, 0).data(32).0).is_ok());
}

fn refused(path: &Path, says: &str) {
    let error = load(path, &Device::Cpu).err().expect("refused").to_string();
    assert!(error.contains(says) && error.contains(path.to_str().unwrap()), "`{says}` not in: {error}");
}

/// The key `key` of a small llama becomes `value`.
fn changed(key: &str, value: Option<Value>) -> (tempfile::TempDir, PathBuf) {
    let (dir, _) = directory(&llama());
    let file = dir.path().join("x.gguf");
    convert(dir.path(), &file, Dtype::F32).unwrap();
    let archive = Archive::open(&file).unwrap();
    let mut metadata = archive.metadata.clone();
    metadata.remove(key);
    metadata.extend(value.map(|value| (key.to_string(), value)));
    let metadata: Vec<_> = metadata.into_iter().collect();
    let tensors: Vec<_> =
        archive.names().into_iter().map(|n| (n.clone(), archive.shape(&n).unwrap().to_vec())).collect();
    let read = |name: &str, out: &mut [f32]| archive.read_into(name, out);
    let file = dir.path().join("y.gguf");
    gguf::write(&file, &archive.config, &metadata, &tensors, Dtype::F32, read).unwrap();
    (dir, file)
}

/// Keys that say nothing, or what is so anyway.
#[test]
fn neutral_keys_change_nothing() {
    let plain = changed("general.name", None);
    let plain = load(&plain.1, &Device::Cpu).unwrap();
    for (key, value) in [
        ("tensor_data_layout", Value::Text("Meta AI original pth".into())),
        ("attention.causal", Value::Flag(true)),
        ("logit_scale", Value::Float(1.0)),
        ("logit_scale", Value::Float(0.0)),
        ("rope.scale_linear", Value::Float(1.0)),
        ("rope.scaling.factor", Value::Float(0.0)),
        ("rope.scaling.type", Value::Text("none".into())),
        ("rope.scaling.type", Value::Text("linear".into())),
        ("rope.scaling.attn_factor", Value::Float(1.0)),
        ("rope.scaling.original_context_length", Value::Integer(48)),
        ("attention.sliding_window", Value::Integer(48)),
        ("attention.sliding_window", Value::Integer(0)),
        ("attention.head_count_kv", Value::Integers(vec![2, 2])),
        ("expert_count", Value::Integer(0)),
    ] {
        let (_dir, file) = changed(&format!("llama.{key}"), Some(value));
        let loaded = load(&file, &Device::Cpu).unwrap_or_else(|e| panic!("{key}: {e}"));
        assert_eq!(loaded.config(), plain.config(), "{key}");
    }
    for key in ["bos", "eos", "padding"] {
        for id in [310, u32::MAX] {
            let (_dir, file) = changed(&format!("tokenizer.ggml.{key}_token_id"), Some(Value::Integer(id.into())));
            let config = load(&file, &Device::Cpu).unwrap().config().clone();
            let all: Vec<u32> = config.eos_ids.iter().copied().chain(config.bos).chain(config.pad).collect();
            assert!(all.iter().all(|&other| other != id), "{key} {id}: {all:?}");
        }
    }
    let (_dir, file) = changed("llama.rope.scale_linear", Some(Value::Float(4.0)));
    let scaling = load(&file, &Device::Cpu).unwrap().config().rope.unwrap().scaling;
    assert_eq!(scaling, Scaling::Linear { factor: 4.0 });
}

#[test]
fn what_it_cannot_compute_is_refused_by_name() {
    for (key, value, says) in [
        ("general.architecture", Some(Value::Text("mamba".into())), "mamba"),
        ("general.architecture", None, "general.architecture"),
        ("llama.context_length", None, "llama.context_length"),
        ("llama.block_count", Some(Value::Text("2".into())), "whole number"),
        ("llama.block_count", Some(Value::Integer(3)), "parameters"),
        ("llama.block_count", Some(Value::Integer(u32::MAX.into())), "no size"),
        ("llama.attention.head_count", Some(Value::Integer(0)), "heads"),
        ("llama.attention.head_count", Some(Value::Integer(3)), "heads"),
        ("llama.attention.value_length", Some(Value::Integer(4)), "different sizes"),
        ("llama.rope.dimension_count", Some(Value::Integer(4)), "partial_rotary_factor"),
        ("llama.rope.scaling.type", Some(Value::Text("yarn".into())), "llama.rope.scaling.type"),
        ("llama.expert_count", Some(Value::Integer(8)), "llama.expert_count"),
        ("llama.attention.sliding_window", Some(Value::Integer(8)), "sliding_window"),
        ("split.count", Some(Value::Integer(2)), "one part of several"),
        ("tokenizer.ggml.eos_token_id", Some(Value::Text("2".into())), "token id"),
        ("llama.logit_scale", Some(Value::Float(0.5)), "llama.logit_scale` is 0.5"),
        ("llama.attention.causal", Some(Value::Flag(false)), "attention.causal"),
    ] {
        let (_dir, file) = changed(key, value);
        refused(&file, says);
    }
    for (key, value, says) in [
        ("tokenizer.ggml.pre", Some(Value::Text("chameleon".into())), "chameleon"),
        ("tokenizer.ggml.model", Some(Value::Text("bert".into())), "bert"),
        ("tokenizer.ggml.merges", None, "merges"),
        ("tokenizer.ggml.token_type", Some(Value::Integers(vec![1])), "token_type"),
    ] {
        let (_dir, file) = changed(key, value);
        assert!(load(&file, &Device::Cpu).is_ok(), "{key}");
        let error = Tokenizer::of_model(&file).unwrap_err().to_string();
        assert!(error.contains(says), "`{says}` not in: {error}");
    }
    let (_dir, file) = changed("tokenizer.ggml.model", None);
    assert!(Tokenizer::of_model(&file).unwrap().is_none());
}

/// Whatever a mutation does to a file: no panic, and no more memory than the file pays for.
#[test]
fn mutations() {
    let (dir, _) = directory(&Config { layers: 1, ..llama() });
    let file = dir.path().join("x.gguf");
    convert(dir.path(), &file, Dtype::Q8_0).unwrap();
    let whole = fs::read(&file).unwrap();
    let header = gguf::parse(&whole).unwrap().1[0].bytes.start;
    let mut draws = Rng::new(12).draws();
    let (mut accepted, rounds) = (0, 4000);
    for _ in 0..rounds {
        let mut bytes = whole.clone();
        for _ in 0..1 + draws.below(3) {
            let at = draws.below(header.min(bytes.len()));
            match draws.below(5) {
                0 => bytes[at] ^= 1 << draws.below(8),
                1 => bytes[at] = *draws.choose(&[0, 1, 8, 0x7f, 0x80, 0xff]),
                2 => drop(bytes.remove(at)),
                3 => bytes.insert(at, draws.below(256) as u8),
                _ => bytes.truncate(at + 1),
            }
        }
        let (parsed, held) = peak(|| {
            let (metadata, tensors) = gguf::parse(&bytes).map_err(|problem| problem.to_string())?;
            let _ = Tokenizer::from_gguf(&metadata, &file);
            gguf::translate(&metadata, tensors, &bytes).and_then(|(config, _)| Config::from_hf(&config))
        });
        assert!(held < (16 << 20) + 8 * bytes.len(), "{held} bytes held");
        accepted += usize::from(parsed.is_ok());
    }
    assert!(accepted > 0 && accepted < rounds, "{accepted} of {rounds} accepted");
}

/// The index of shards, likewise; through the whole loader.
#[test]
fn mutated_indices() {
    let (dir, model) = directory(&Config { layers: 1, ..gpt2() });
    let dir = dir.path();
    fs::rename(dir.join("model.safetensors"), dir.join("model-1.safetensors")).unwrap();
    let names = crate::tensor_maps(&model.net).into_iter().map(|map| (map.name, json!("model-1.safetensors")));
    let map: serde_json::Map<String, serde_json::Value> = names.collect();
    let whole = json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string().into_bytes();
    let index = dir.join("model.safetensors.index.json");
    let mut draws = Rng::new(13).draws();
    let (mut accepted, rounds) = (0, 3000);
    for _ in 0..rounds {
        let mut bytes = whole.clone();
        mutate(&mut bytes, b"0123456789\"{}[],:./\\-e \0", &mut draws);
        fs::write(&index, &bytes).unwrap();
        let (loaded, held) = peak(|| load(dir, &Device::Cpu));
        assert!(held < (4 << 20) + 8 * bytes.len(), "{held} bytes held");
        accepted += usize::from(loaded.is_ok());
    }
    assert!(accepted > 0 && accepted < rounds, "{accepted} of {rounds} accepted");
}
