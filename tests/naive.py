"""The paper's equations written out as plainly as can be: slow, and obviously what they say.

Everything is float64 numpy with loops over layers, heads, rows and columns; no code of Outtakes
is used but its parameters. The fast implementation must agree to 1e-5.
"""

from __future__ import annotations

import math

import numpy as np

Parameters = dict[str, np.ndarray]


def parameters_of(module) -> Parameters:
    return {name: tensor.detach().double().numpy() for name, tensor in module.named_parameters()}


def linear(x: np.ndarray, parameters: Parameters, name: str) -> np.ndarray:
    y = x @ parameters[f"{name}.weight"].T
    return y + parameters[f"{name}.bias"] if f"{name}.bias" in parameters else y


def layer_norm(x: np.ndarray, parameters: Parameters, name: str) -> np.ndarray:
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return y * parameters[f"{name}.weight"] + parameters[f"{name}.bias"]


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


def attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    heads: int,
    pb_q: np.ndarray | float = 0.0,
    pb_v: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 1 for one sample: softmax((Q + pb_q) K^T / sqrt(d_k)) (V + pb_v), head by head."""
    q, v = query + pb_q, value + pb_v
    d_k = q.shape[1] // heads
    output = np.zeros_like(q)
    weights = np.zeros((heads, len(q), len(key)))
    for h in range(heads):
        columns = slice(h * d_k, (h + 1) * d_k)
        for i in range(len(q)):
            scores = [q[i, columns] @ key[j, columns] / math.sqrt(d_k) for j in range(len(key))]
            weights[h, i] = softmax(np.array(scores))
            for j in range(len(key)):
                output[i, columns] += weights[h, i, j] * v[j, columns]
    return output, weights


def multi_head(
    parameters: Parameters,
    name: str,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    heads: int,
    pb_q: np.ndarray | float = 0.0,
    pb_v: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    attended, weights = attention(
        linear(query, parameters, f"{name}.query"),
        linear(key, parameters, f"{name}.key"),
        linear(value, parameters, f"{name}.value"),
        heads,
        pb_q,
        pb_v,
    )
    return linear(attended, parameters, f"{name}.out"), weights


def feed_forward(x, parameters, name):
    return linear(
        np.maximum(linear(x, parameters, f"{name}.expand"), 0), parameters, f"{name}.contract"
    )


def encode(parameters, tokens, positions, layers, heads):
    for i in range(layers):
        name = f"encoder.layers.{i}"
        placed = tokens + positions
        attended, _ = multi_head(
            parameters, f"{name}.self_attention", placed, placed, tokens, heads
        )
        tokens = layer_norm(tokens + attended, parameters, f"{name}.norms.0")
        fed = feed_forward(tokens, parameters, f"{name}.feed_forward")
        tokens = layer_norm(tokens + fed, parameters, f"{name}.norms.1")
    return tokens


def decode(parameters, config, memory, memory_positions, pb):
    """One sample under one PB (L, P): its actions, and A of every layer (layers, H, L, L)."""
    positions = parameters["action_positions"]
    x = np.zeros_like(positions)
    maps = []
    for i in range(config.decoder_layers):
        name = f"decoder.layers.{i}"
        pb_q = config.alpha_pb * linear(pb, parameters, f"bias.to_query.{i}")
        pb_v = config.alpha_pb * linear(pb, parameters, f"bias.to_value.{i}")
        placed = x + positions
        attended, weights = multi_head(
            parameters, f"{name}.self_attention", placed, placed, x, config.heads, pb_q, pb_v
        )
        maps.append(weights)
        x = layer_norm(x + attended, parameters, f"{name}.norms.0")
        attended, _ = multi_head(
            parameters,
            f"{name}.cross_attention",
            x + positions,
            memory + memory_positions,
            memory,
            config.heads,
        )
        x = layer_norm(x + attended, parameters, f"{name}.norms.1")
        fed = feed_forward(x, parameters, f"{name}.feed_forward")
        x = layer_norm(x + fed, parameters, f"{name}.norms.2")
    x = layer_norm(x, parameters, "decoder.norm")
    return linear(x, parameters, "action"), np.stack(maps)


def act(parameters, config, state, environment_state, pb):
    """Whole policy on one low-dimensional observation, latent zero."""
    tokens = np.stack(
        [
            linear(np.zeros(config.latent), parameters, "latent"),
            linear(state, parameters, "state"),
            linear(environment_state, parameters, "environment_state"),
        ]
    )
    positions = parameters["vector_positions"]
    memory = encode(parameters, tokens, positions, config.encoder_layers, config.heads)
    return decode(parameters, config, memory, positions, pb)


def kl(p: np.ndarray, q: np.ndarray) -> float:
    return sum(float(a * math.log(a / b)) for a, b in zip(p, q, strict=True))


def d_sym(p: np.ndarray, q: np.ndarray) -> float:
    """Eq. 3 for two distributions."""
    return 0.5 * (kl(p, q) + kl(q, p))


def d_sym_of_maps(first: np.ndarray, second: np.ndarray) -> float:
    """Eq. 3 averaged over layers, heads and query rows of two (layers, H, L, L) maps."""
    values = [
        d_sym(first[layer, head, row], second[layer, head, row])
        for layer in range(first.shape[0])
        for head in range(first.shape[1])
        for row in range(first.shape[2])
    ]
    return sum(values) / len(values)


def k_metric(parameters, config, states, environment_states, own_pb, success_pbs) -> float:
    """Eq. 5: the sum over successes of the time mean of D_sym."""
    total = 0.0
    for other_pb in success_pbs:
        over_time = []
        for state, environment_state in zip(states, environment_states, strict=True):
            _, positive = act(parameters, config, state, environment_state, own_pb)
            _, negative = act(parameters, config, state, environment_state, other_pb)
            over_time.append(d_sym_of_maps(positive, negative))
        total += sum(over_time) / len(over_time)
    return total
