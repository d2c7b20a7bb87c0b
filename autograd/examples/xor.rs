//! XOR, which no single layer can: eight tanh units learn it. `cargo run --example xor`
use autograd::{AdamW, AdamWConfig, Init, ParamsBuilder, Var, Weights, ops};
use kernels::{Device, Rng, Tensor};

fn main() {
    let (mut builder, rng) = (ParamsBuilder::default(), Rng::new(1));
    let w1 = builder.add("w1", &[8, 2], Init::Normal(1.0), true, rng);
    let b1 = builder.add("b1", &[8], Init::Zeros, false, rng);
    let w2 = builder.add("w2", &[1, 8], Init::Normal(0.5), true, rng);
    let b2 = builder.add("b2", &[1], Init::Zeros, false, rng);
    let mut params = builder.build(&Device::Cpu);

    let x = Var::from(Tensor::new(&[4, 2], vec![0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0]));
    let want = Var::from(Tensor::new(&[4, 1], vec![0.0, 1.0, 1.0, 0.0]));
    let net = |w: &Weights| {
        let hidden = ops::tanh(&ops::linear(&x, &w[w1], Some(&w[b1])));
        ops::linear(&hidden, &w[w2], Some(&w[b2]))
    };

    let mut adamw = AdamW::new(AdamWConfig::default(), &params);
    let mut grads = params.grads();
    for step in 0..=200 {
        grads.zero();
        let (loss, ()) = params.backprop(&mut grads, |w| (ops::mean(&ops::square(&(net(w) - &want))), ()));
        adamw.step(&mut params, &grads, 0.05, None).expect("finite gradients");
        if step % 40 == 0 {
            println!("step {step:>3}  loss {loss:.6}");
        }
    }
    println!("{:.2?}", net(&params.frozen())); // 0, 1, 1, 0
}
