"""A loss: the face of a batch that is learnt worst counts for itself."""

from copied import Copy

FUNCTION = '''def hardest(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """One minus the lowest cosine of unit embeddings, (n, 128)."""
    return 1.0 - tf.reduce_min(tf.reduce_sum(student * teacher, axis=-1))


'''


def apply(copy: Copy) -> None:
    path = "train/losses.py"
    copy.replace(path, "def relational(", f"{FUNCTION}def relational(")
    copy.insert(
        path,
        after='    "cosine": lambda codes: cosine(codes.unit, codes.teacher_unit),\n',
        text='    "hardest": lambda codes: hardest(codes.unit, codes.teacher_unit),\n',
    )
    copy.insert("train/config.py", after="    cosine: float = 1.0\n", text="    hardest: float = 0.05\n")
