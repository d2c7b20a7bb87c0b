//! The arithmetic of RLHF against numbers worked by hand and against PyTorch: rewards, GAE, whitening, both PPO losses,
//! the ranking loss, and their gradients.

use crate::support::{Golden, close, close_all, golden};
use autograd::{Init, ParamsBuilder, Var, ops};
use kernels::{Device, Ids, Rng, Tensor};
use rlhf_core::{
    advantage::{KlControl, gae, token_rewards, whiten},
    methods::{
        ppo::{policy_loss, value_loss},
        rm,
    },
    train::Alone,
};
use std::ops::Range;

/// Two answers of 3 and 5 tokens, worked by hand.
struct Worked {
    spans: [Range<usize>; 2],
    logp: [f32; 8],
    ref_logp: [f32; 8],
    values: [f32; 8],
    scores: [f32; 2],
}

const WORKED: Worked = Worked {
    spans: [0..3, 3..8],
    logp: [-1.0, -0.5, -0.2, -2.0, -1.0, -0.7, -0.1, -0.3],
    ref_logp: [-1.2, -0.4, -0.5, -1.5, -1.3, -0.7, -0.6, -0.2],
    values: [0.1, 0.2, 0.3, 0.5, 0.4, 0.3, 0.2, 0.1],
    scores: [1.5, -0.5],
};

#[test]
fn rewards_gae_and_whitening_match_the_worked_example() {
    let w = &WORKED;
    let rewards = token_rewards(&w.spans, &w.logp, &w.ref_logp, &w.scores, 0.05);
    close_all(&rewards, &[-0.01, 0.005, 1.485, 0.025, -0.015, 0.0, -0.025, -0.495], 1e-6);
    let advantages = gae(&w.spans, &rewards, &w.values, 1.0, 0.95);
    close_all(&advantages, &[1.2592125, 1.23075, 1.185, -0.8663031, -0.8329506, -0.7557375, -0.69025, -0.595], 1e-6);
    let whitened = [1.2368329, 1.2090562, 1.1644087, -0.8374649, -0.8049161, -0.7295635, -0.6656541, -0.5726993];
    close_all(&whiten(&advantages, true, &Alone), &whitened, 1e-6);
    let rewards_whitened =
        [-0.10603763, -0.0800619, 2.4828767, -0.0454276, -0.1146962, -0.0887205, -0.1320134, -0.9459196];
    close_all(&whiten(&rewards, false, &Alone), &rewards_whitened, 1e-6);
}

#[test]
fn losses_and_gradients_match_the_worked_example() {
    let w = &WORKED;
    let advantages =
        gae(&w.spans, &token_rewards(&w.spans, &w.logp, &w.ref_logp, &w.scores, 0.05), &w.values, 1.0, 0.95);
    let returns: Vec<f32> = advantages.iter().zip(&w.values).map(|(a, v)| a + v).collect();
    let add = |x: &[f32], d: [f32; 8]| x.iter().zip(d).map(|(x, d)| x + d).collect::<Vec<f32>>();
    let logp = add(&w.logp, [0.3, -0.3, 0.05, 0.0, 0.1, -0.5, 0.4, -0.05]);
    let values = add(&w.values, [0.05, -0.3, 0.5, -0.25, 0.1, 0.3, -0.1, 0.0]);
    // this example whitened with n instead of n − 1
    let white = [1.32223, 1.2925355, 1.2448052, -0.8952876, -0.8604915, -0.7799362, -0.7116141, -0.6122413];
    let (policy, dlogp) = gradient_of(&logp, |x| clipped(x, &w.logp, &white, 0.2));
    let (value, dvalues) = gradient_of(&values, |x| mean(&value_loss(x, &flat(&w.values), &flat(&returns), 0.2).0));
    close(policy, 0.032671824665363516, 1e-6);
    close(value, 0.4941858653432007, 1e-6);
    close(policy + 0.1 * value, 0.08209041119968359, 1e-6);
    close_all(&dlogp, &[0.0, -0.11969173, -0.16357847, 0.11191095, 0.11887377, 0.0, 0.13270044, 0.07279774], 1e-6);
    let tenth: Vec<f32> = dvalues.iter().map(|d| 0.1 * d).collect(); // the example weighs the value loss with 0.1
    close_all(&tenth, &[-0.01511516, -0.01913437, 0.0, 0.0, 0.01166188, 0.01319672, 0.00737812, 0.0074375], 1e-6);
}

#[test]
fn ppo_matches_pytorch() {
    let golden = Golden::read(&golden("rlhf"));
    let expect = &golden.json["ppo"];
    let number = |name: &str| expect[name].as_f64().unwrap() as f32;
    let mask = golden.array("ppo.mask");
    let kept: Vec<usize> = (0..mask.len()).filter(|&i| mask[i] == 1.0).collect(); // the file is padded; we are not
    let get = |name: &str| kept.iter().map(|&i| golden.array(name)[i]).collect::<Vec<f32>>();
    let lengths = mask.chunks(11).map(|row| row.iter().sum::<f32>() as usize);
    let spans: Vec<Range<usize>> = lengths
        .scan(0, |end, n| {
            *end += n;
            Some(*end - n..*end)
        })
        .collect();

    let (old, values) = (get("ppo.logp_old"), get("ppo.values"));
    let rewards = token_rewards(&spans, &old, &get("ppo.logp_ref"), &golden.array("ppo.score"), number("beta"));
    close_all(&rewards, &get("ppo.rewards"), 1e-5);
    let advantages = gae(&spans, &rewards, &values, number("gamma"), number("lambda"));
    close_all(&advantages, &get("ppo.advantages"), 1e-5);
    let white = whiten(&advantages, true, &Alone);
    close_all(&white, &get("ppo.whitened_advantages"), 1e-5);
    let returns: Vec<f32> = advantages.iter().zip(&values).map(|(a, v)| a + v).collect();
    close_all(&returns, &get("ppo.returns"), 1e-5);

    let (loss, dvalues) = gradient_of(&get("ppo.values_new"), |v| {
        mean(&value_loss(v, &flat(&values), &flat(&returns), number("value_clip")).0)
    });
    close(loss, number("value_loss"), 1e-5);
    let coefficient = number("vf_coef");
    close_all(&dvalues.iter().map(|d| coefficient * d).collect::<Vec<_>>(), &get("ppo.grad_values_new"), 1e-6);

    let rows =
        |name: &str| kept.iter().flat_map(|&i| golden.array(name)[i * 13..(i + 1) * 13].to_vec()).collect::<Vec<f32>>();
    let actions: Vec<u32> = get("ppo.actions").iter().map(|&a| a as u32).collect();
    let (loss, dlogits) = gradient_of(&rows("ppo.logits"), |x| {
        let logp = ops::logprob(&ops::reshape(x, &[kept.len(), 13]), &Ids::new(actions.clone()));
        close_all(&logp.value().to_vec(), &get("ppo.logp"), 1e-5);
        clipped(&logp, &old, &white, number("clip"))
    });
    close(loss, number("policy_loss"), 1e-5);
    close_all(&dlogits, &rows("ppo.grad_logits"), 1e-6);
}

#[test]
fn adaptive_kl_matches_pytorch() {
    let golden = Golden::read(&golden("rlhf"));
    let expect = &golden.json["adaptive_kl"];
    let list = |name: &str| expect[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<f64>>();
    let control = KlControl::Adaptive { target: 6.0, horizon: 10_000.0 };
    let mut coef = expect["init"].as_f64().unwrap();
    for (observed, after) in list("observed").into_iter().zip(list("coef_after")) {
        coef = control.next_coef(coef, observed, 64);
        close(coef as f32, after as f32, 1e-7);
    }
    assert_eq!(KlControl::Fixed.next_coef(0.02, 50.0, 64), 0.02);
}

#[test]
fn ranking_loss_matches_pytorch() {
    let (loss, grad) =
        gradient_of(&[0.7, 0.9, -0.2, 0.1], |x| rm::loss(x, &rm::comparisons(&[1.0, 2.0, 3.0, 4.0], 0), 1.0));
    close(loss, 0.5149286550218836, 1e-6);
    close_all(&grad, &[-0.19887136, -0.00165524, -0.00594202, 0.20646862], 1e-6);

    let golden = Golden::read(&golden("rlhf"));
    let scores: Vec<Vec<f32>> = (0..4).map(|i| golden.array(&format!("rm.rewards.{i}"))).collect();
    let (mut pairs, mut first) = (Vec::new(), 0);
    for k in scores.iter().map(Vec::len) {
        pairs.extend(rm::comparisons(&(0..k).map(|rank| rank as f32).collect::<Vec<_>>(), first));
        first += k;
    }
    let (loss, grad) = gradient_of(&scores.concat(), |x| rm::loss(x, &pairs, 0.25));
    close(loss, golden.json["rm"]["loss"].as_f64().unwrap() as f32, 1e-6);
    close_all(&grad, &(0..4).flat_map(|i| golden.array(&format!("rm.grad.{i}"))).collect::<Vec<_>>(), 1e-6);
}

#[test]
fn ties_are_dropped_and_their_order_is_irrelevant() {
    assert_eq!(rm::comparisons(&[1.0, 2.0, 3.0, 4.0], 0).len(), 6);
    assert_eq!(rm::comparisons(&[1.0, 2.0, 2.0, 3.0], 0).len(), 5);
    assert!(rm::comparisons(&[2.0, 2.0], 0).is_empty());
    let ranks = [1.0, 2.0, 2.0, 3.0];
    let (a, _) = gradient_of(&[0.7, 0.9, -0.2, 0.1], |x| rm::loss(x, &rm::comparisons(&ranks, 0), 1.0));
    let (b, _) = gradient_of(&[0.7, -0.2, 0.9, 0.1], |x| rm::loss(x, &rm::comparisons(&ranks, 0), 1.0));
    close(a, b, 1e-6);
}

fn flat(x: &[f32]) -> Var {
    Tensor::new(&[x.len()], x.to_vec()).into()
}

fn mean(x: &Var) -> Var {
    ops::scale(&ops::sum(x), 1.0 / x.value().len() as f32)
}

/// The mean of the clipped policy loss.
fn clipped(logp: &Var, old_logp: &[f32], advantages: &[f32], clip: f32) -> Var {
    mean(&policy_loss(&ops::exp(&(logp - &flat(old_logp))), &flat(advantages), clip).0)
}

/// A loss of one array, and its gradient.
fn gradient_of(x: &[f32], f: impl FnOnce(&Var) -> Var) -> (f32, Vec<f32>) {
    let mut builder = ParamsBuilder::default();
    let id = builder.add("x", &[x.len()], Init::Zeros, false, Rng::new(0));
    let mut params = builder.build(&Device::Cpu);
    params.set(id, x);
    let mut grads = params.grads();
    let (loss, ()) = params.backprop(&mut grads, |w| (f(&w[id]), ()));
    (loss, grads.get(id).to_vec())
}
