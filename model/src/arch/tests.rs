//! Configs of transformers 4 and 5 say the same, what is written reads back, what we do not compute is refused.
use crate::net::config::{Config, HeadKind};
use crate::net::rope::{Rope, Scaling};
use serde_json::{Value, json};

fn llama() -> Value {
    json!({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 5,
        "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 512, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 512, "rope_theta": 5e5, "eos_token_id": [2, 3], "bos_token_id": 1,
    })
}

/// `json` with these keys; a key that is null is removed.
fn with(mut json: Value, keys: Value) -> Value {
    for (key, value) in keys.as_object().unwrap() {
        match value {
            Value::Null => json.as_object_mut().unwrap().remove(key),
            _ => json.as_object_mut().unwrap().insert(key.clone(), value.clone()),
        };
    }
    json
}

fn read(json: Value) -> Config {
    Config::from_hf(&json).unwrap()
}

#[test]
fn both_forms_of_the_rotary_base() {
    let four = read(llama());
    let rope = four.rope.unwrap();
    assert_eq!((rope, four.heads.dim, &four.eos_ids[..]), (Rope::new(5e5, 8), 8, &[2, 3][..]));
    let five = json!({"rope_theta": null, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}});
    assert_eq!(read(with(llama(), five)), four);
}

#[test]
fn both_forms_of_rotary_scaling() {
    let long = json!({"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64, "rope_type": "llama3"});
    let four = read(with(llama(), json!({"rope_scaling": long})));
    let scaling = Scaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 64.0 };
    assert_eq!(four.rope, Some(Rope { scaling, ..Rope::new(5e5, 8) }));
    let long = with(long, json!({"rope_theta": 5e5}));
    assert_eq!(read(with(llama(), json!({"rope_theta": null, "rope_parameters": long}))), four);

    let linear = read(with(llama(), json!({"rope_scaling": {"type": "linear", "factor": 2}})));
    assert_eq!(linear.rope.unwrap().scaling, Scaling::Linear { factor: 2.0 });
}

/// Numbers of `modeling_rope_utils` of transformers 5.24, in f32: θ = 5e5, heads of 16.
#[test]
fn frequencies_are_those_of_transformers() {
    let llama3 = |factor, original| Scaling::Llama3 { factor, low: 1.0, high: 4.0, original };
    let cases = [
        (
            Scaling::Linear { factor: 4.0 },
            [
                0.25,
                0.0484806895,
                0.00940150768,
                0.00182316627,
                0.000353553361,
                6.85620471e-05,
                1.32957393e-05,
                2.57834631e-06,
            ],
        ),
        (
            llama3(8.0, 64.0),
            [
                1.0,
                0.079403013,
                0.00470075384,
                0.000911583134,
                0.000176776681,
                3.42810235e-05,
                6.64786967e-06,
                1.28917316e-06,
            ],
        ),
        (
            llama3(32.0, 8192.0),
            [
                1.0,
                0.193922758,
                0.0376060307,
                0.00729266508,
                0.000429556705,
                8.57025589e-06,
                1.66196742e-06,
                3.22293289e-07,
            ],
        ),
    ];
    for (scaling, theirs) in cases {
        let ours = Rope { scaling, ..Rope::new(5e5, 16) }.frequencies();
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert!((ours / theirs - 1.0).abs() < 1e-6, "{scaling:?}: {ours} for {theirs}");
        }
    }
}

#[test]
fn both_forms_of_pythia() {
    let sizes = json!({
        "model_type": "gpt_neox", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2,
        "intermediate_size": 256, "max_position_embeddings": 128, "vocab_size": 300,
    });
    let four = read(with(sizes.clone(), json!({"rotary_pct": 0.5, "rotary_emb_base": 20000, "hidden_act": "gelu"})));
    assert_eq!((four.rope, four.parallel_residual, four.tied), (Some(Rope::new(20_000.0, 8)), true, false));
    let rope = json!({"rope_type": "default", "rope_theta": 20000.0, "partial_rotary_factor": 0.5});
    assert_eq!(read(with(sizes.clone(), json!({"rope_parameters": rope}))), four);
    assert_eq!(read(sizes).rope, Some(Rope::new(10_000.0, 4))); // a quarter, where nothing is said
}

#[test]
fn a_head_has_a_size() {
    let error = Config::from_hf(&with(llama(), json!({"head_dim": 100_000_000}))).unwrap_err();
    assert!(error.contains("100000000"), "{error}");
}

#[test]
fn windows() {
    let mistral = with(llama(), json!({"model_type": "mistral"}));
    assert_eq!(read(mistral.clone()).sliding_window, Some(4096)); // what transformers takes, where nothing is said
    assert_eq!(read(with(mistral.clone(), json!({"sliding_window": 8}))).sliding_window, Some(8));
    let mut none = mistral;
    none["sliding_window"] = Value::Null;
    assert_eq!(read(none).sliding_window, None);
    let qwen = with(llama(), json!({"model_type": "qwen2", "sliding_window": 8, "use_sliding_window": false}));
    assert_eq!(read(qwen.clone()).sliding_window, None);
    let error = Config::from_hf(&with(qwen, json!({"use_sliding_window": true}))).unwrap_err();
    assert!(error.contains("use_sliding_window"), "{error}");
}

#[test]
fn what_is_written_reads_back() {
    for config in crate::tests::all() {
        for head in [HeadKind::Lm, HeadKind::Score] {
            assert_eq!(read(config.to_hf(head)), config);
        }
    }
    assert_eq!(Config::gpt2(9, 9, 1, 8, 1).to_hf(HeadKind::Lm)["layer_norm_epsilon"], json!(1e-5));
}

#[test]
fn refused_by_name() {
    let cases = [
        ("model_type", json!("mamba"), "mamba"),
        ("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0}), "yarn"),
        ("rope_scaling", json!({"rope_type": "linear", "type": "llama3", "factor": 4.0}), "given twice"),
        ("rope_scaling", json!({"type": "linear", "factor": 0.0}), "factor"),
        ("rope_scaling", json!({"type": "linear", "factor": 2.0, "beta_fast": 32}), "beta_fast"),
        ("rope_parameters", json!({"rope_type": "llama3", "rope_theta": 5e5}), "low_freq_factor"),
        ("rope_parameters", json!({"rope_type": "default", "rope_theta": 1e4}), "given twice"),
        ("partial_rotary_factor", json!(0.5), "partial_rotary_factor"),
        ("hidden_act", json!("gelu"), "hidden_act"),
        ("sliding_window", json!(16), "sliding_window"), // of a Llama: of no known meaning
        ("layer_types", json!(["full_attention", "sliding_attention"]), "layer_types"),
        ("final_logit_softcapping", json!(30.0), "final_logit_softcapping"),
        ("pruned_heads", json!({"0": [1]}), "pruned_heads"),
        ("quantization_config", json!({"bits": 4}), "quantization_config"),
        ("num_key_value_heads", json!(3), "key/value heads"),
        ("head_dim", json!(7), "pairs"),
        ("hidden_size", json!(-1), "hidden_size"),
        ("hidden_size", json!(u64::MAX), "hidden_size"),
        ("hidden_size", json!(65), "heads"),
        ("vocab_size", json!(0), "vocab_size"),
        ("eos_token_id", json!(512), "512"),
        ("eos_token_id", json!("</s>"), "eos_token_id"),
        ("rope_theta", json!(0.0), "rope_theta"),
    ];
    for (key, value, says) in cases {
        let mut json = llama();
        json[key] = value;
        let error = Config::from_hf(&json).expect_err(key);
        assert!(error.contains(says), "{key}: {error}");
    }
    let gpt2 = |key: &str, value: Value| {
        let mut json = json!({"model_type": "gpt2"});
        json[key] = value;
        Config::from_hf(&json)
    };
    assert!(gpt2("scale_attn_by_inverse_layer_idx", json!(true)).is_err());
    assert!(gpt2("scale_attn_weights", json!(false)).is_err());
    assert!(gpt2("activation_function", json!("relu")).is_err());
    assert_eq!(gpt2("n_inner", Value::Null).unwrap().parameters(HeadKind::Lm), Some(124_439_808));
}

#[test]
fn what_does_not_matter_is_ignored() {
    let chatter = json!({
        "_name_or_path": "somewhere", "architectures": ["LlamaForCausalLM"], "attention_dropout": 0.1,
        "rope_interleaved": false, "use_cache": true, "torch_dtype": "bfloat16", "pretraining_tp": 1,
        "transformers_version": "4.42.3", "pruned_heads": {}, "transformers.js_config": {"dtype": "q4"},
    });
    assert_eq!(read(with(llama(), chatter)), read(llama()));
}

/// What the files that are downloaded most say beside what a model computes: bookkeeping, in each of their spellings.
#[test]
fn bookkeeping_of_popular_models_changes_nothing() {
    let gpt2 =
        json!({"model_type": "gpt2", "n_embd": 64, "n_head": 4, "n_layer": 3, "n_positions": 128, "vocab_size": 400});
    let neox = json!({
        "model_type": "gpt_neox", "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 3,
        "num_attention_heads": 4, "vocab_size": 400, "max_position_embeddings": 128,
    });
    for (base, more) in [
        (&gpt2, json!({"n_special": 0, "predict_special_tokens": true})), // gpt2-medium, -large, -xl
        (&gpt2, json!({"_num_labels": 1, "id2label": {"0": "LABEL_0"}, "n_ctx": 128})), // distilgpt2
        (
            &gpt2,
            json!({"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 3, "max_position_embeddings": 128}),
        ),
        (&gpt2, json!({"n_inner": 256, "scale_attn_weights": true, "reorder_and_upcast_attn": false})), // cerebras
        (&gpt2, json!({"n_positions": 128.0, "vocab_size": 400.0})),
        (&gpt2, json!({"output_past": true, "torchscript": true, "keys_to_ignore_at_inference": ["past_key_values"]})),
        (
            &gpt2,
            json!({"output_hidden_states": true, "output_attentions": true, "bos_token_id": -1, "pad_token_id": -1}),
        ),
        (&gpt2, json!({"eos_token_id": [-1], "pad_token_id": 400, "auto_map": {"AutoModel": "x.Y"}})),
        (&gpt2, json!({"task_specific_params": {"conversational": {"max_length": 1000}}})), // DialoGPT
        (&neox, json!({"attention_probs_dropout_prob": 0, "hidden_dropout_prob": 0.1})),    // gpt-neox-20b
        (&neox, json!({"custom_pipelines": {"text-generation": {"impl": "x.Y"}}})),         // dolly
        (&neox, json!({"use_cache": true, "rotary_pct": 0.25, "rotary_emb_base": 10000, "tie_word_embeddings": false})),
        (&llama(), json!({"max_sequence_length": 2048, "pretraining_tp": 1, "some_dropout": 0.5})), // early Llama
        (&llama(), json!({"rope_interleaved": false, "is_llama_config": true, "transformers.js_config": {"a": 1}})), // SmolLM2
        (&llama(), json!({"torch_dtype": "bfloat16", "dtype": "bfloat16", "bad_words_ids": [[1]], "use_mrope": false})),
    ] {
        let (plain, said) = (read(base.clone()), read(with(base.clone(), more.clone())));
        assert_eq!(said, plain, "{more}");
    }
}

#[test]
fn names_of_one_size_must_agree() {
    let gpt2 = json!({"model_type": "gpt2", "n_embd": 64, "n_head": 4, "hidden_size": 32});
    assert!(Config::from_hf(&gpt2).unwrap_err().contains("`hidden_size` is 32"));
    for (key, value) in [
        ("rms_norm_eps", json!(-1.0)),
        ("rms_norm_eps", json!(0.0)),
        ("rms_norm_eps", json!(1e30)),
        ("rope_theta", json!(-1.0)),
        ("rope_theta", json!(0.0)),
        ("hidden_size", json!(64.5)),
        ("vocab_size", json!(-1)),
        ("eos_token_id", json!(-2)),
        ("num_hidden_layers", json!(1e18)),
    ] {
        assert!(Config::from_hf(&with(llama(), json!({key: value}))).is_err(), "{key}: {value}");
    }
}
