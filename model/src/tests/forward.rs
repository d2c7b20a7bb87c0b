//! Forward passes. That a cache, a ragged batch and checkpointed blocks change nothing is tested in the
//! workspace's tests/it/fused.rs.
use super::{all, close, gpt2, llama, shaken, texts};
use crate::{Config, HeadKind, Model, Transformer, score};
use autograd::{Params, Var, ops};
use kernels::{Device, Ids, Rng, Segments};

fn hidden(model: &Transformer, params: &Params, texts: &[Vec<u32>]) -> Vec<f32> {
    let seg = Segments::from_lengths(&texts.iter().map(Vec::len).collect::<Vec<_>>());
    model.hidden(&params.frozen(), &Ids::new(texts.concat()), &seg, None).value().to_vec()
}

/// Mean negative log-probability of the next tokens, differentiable.
fn loss(model: &Transformer, w: &autograd::Weights, texts: &[Vec<u32>], dropout: crate::Dropout) -> Var {
    let seg = Segments::from_lengths(&texts.iter().map(Vec::len).collect::<Vec<_>>());
    let hidden = model.hidden(w, &Ids::new(texts.concat()), &seg, dropout);
    let rows: Vec<u32> =
        (0..seg.count()).flat_map(|b| seg.range(b).start as u32..seg.range(b).end as u32 - 1).collect();
    let targets: Vec<u32> = texts.iter().flat_map(|t| t[1..].to_vec()).collect();
    let logits = model.logits(w, &ops::index_select(&hidden, &Ids::new(rows)));
    ops::scale(&ops::sum(&ops::logprob(&logits, &targets.into())), -1.0)
}

#[test]
fn dropout_is_a_function_of_its_generator() {
    let config = gpt2();
    let Model { net: model, params } = shaken(&config, HeadKind::Lm);
    let texts = texts(&[30], config.vocab);
    let at = |dropout| loss(&model, &params.frozen(), &texts, dropout).item();
    assert_eq!(at(Some((0.2, Rng::new(1)))), at(Some((0.2, Rng::new(1)))));
    assert_ne!(at(Some((0.2, Rng::new(1)))), at(Some((0.2, Rng::new(2)))));
    assert_eq!(at(Some((0.0, Rng::new(1)))), at(None));
}

#[test]
fn log_probabilities_do_not_depend_on_the_budget() {
    let config = llama();
    let Model { net: model, params } = shaken(&config, HeadKind::Lm);
    let texts = texts(&[3, 1, 9, 20, 0, 2], config.vocab);
    let w = params.frozen();
    let one = score::logprobs(&model, &w, &texts, 0.7, usize::MAX).unwrap();
    assert_eq!(one.iter().map(Vec::len).collect::<Vec<_>>(), [2, 0, 8, 19, 0, 1]);
    for budget in [1, 10, 25] {
        let cut = score::logprobs(&model, &w, &texts, 0.7, budget).unwrap();
        one.iter().zip(&cut).for_each(|(a, b)| close(a, b, 1e-5));
    }
    let long = score::logprobs(&model, &w, &[vec![1; 49]], 1.0, 64).unwrap_err();
    assert!(long.to_string().contains("holds 48"), "{long}");
}

#[test]
fn micro_batches_keep_to_the_budget_where_they_can() {
    let batches = |budget| score::micro_batches([3, 3, 9, 1, 4], budget);
    assert_eq!(batches(6), [0..2, 2..3, 3..5]);
    assert_eq!(batches(1), [0..1, 1..2, 2..3, 3..4, 4..5]);
    assert_eq!(batches(1000), vec![0..5; 1]);
    assert!(score::micro_batches([], 6).is_empty());
}

#[test]
fn a_score_model_has_the_body_it_was_made_from() {
    for config in all() {
        let whole = shaken(&config, HeadKind::Lm);
        let Model { net: rm, params: scores } = whole.as_score(Rng::new(1));
        let Model { net: lm, params } = whole;
        let texts = texts(&[6, 11], config.vocab);
        assert_eq!(hidden(&lm, &params, &texts), hidden(&rm, &scores, &texts));
        let each = score::scores(&rm, &scores.frozen(), &texts, 8).unwrap();
        assert_eq!(each.iter().map(Vec::len).collect::<Vec<_>>(), [6, 11]);
        let mut shifted = scores.clone();
        shifted.set(rm.score_bias().unwrap(), &[2.5]);
        let more = score::scores(&rm, &shifted.frozen(), &texts, 8).unwrap();
        close(&more[1], &each[1].iter().map(|s| s + 2.5).collect::<Vec<_>>(), 1e-5);
        let Model { net: again, params: copied } = Model { net: rm, params: shifted }.as_score(Rng::new(2)); // a value network starts as its reward model
        assert_eq!(score::scores(&again, &copied.frozen(), &texts, 8).unwrap(), more);
    }
}

#[test]
fn a_fresh_model_starts_as_gpt2_does() {
    let config = Config::gpt2(300, 64, 8, 64, 4);
    let Model { params, .. } = Model::new(&config, HeadKind::Lm, Rng::new(0), &Device::Cpu);
    assert_eq!(Some(params.count()), config.parameters(HeadKind::Lm));
    let std = |name: &str| {
        let x = params.get(params.by_name(name).unwrap()).to_vec();
        (x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32).sqrt()
    };
    assert!((std("embedding") - 0.02).abs() < 1e-3 && (std("blocks.3.qkv.weight") - 0.02).abs() < 1e-3);
    assert!((std("blocks.3.out.weight") - 0.005).abs() < 3e-4 && (std("blocks.0.down.weight") - 0.005).abs() < 3e-4);
    for config in [gpt2(), llama()] {
        for head in [HeadKind::Lm, HeadKind::Score] {
            let Model { params, .. } = Model::new(&config, head, Rng::new(0), &Device::Cpu);
            assert_eq!(Some(params.count()), config.parameters(head));
        }
    }
}
