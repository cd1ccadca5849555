"""The settings that the sources of image files share."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from dgn.data.cache import cached
from dgn.data.channels import ReadForm
from dgn.data.datamodule import ImageData
from dgn.data.dataset import Pictures
from dgn.data.packed import Stored
from dgn.data.size import ImageSize
from dgn.data.size import image_size as as_size
from dgn.data.sizes import describe_scaling
from dgn.data.transforms import EvalTransform, TrainTransform

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Common:
    """The parameters that `image_folder`, `public` and `huggingface` share, as keywords.

    Args:
        image_size: Side of the images in pixels, or [height, width].
        resize: Short side to which larger images are resized before cropping; None: image_size * 256 / 227, as in the
            paper. Smaller images are not enlarged for it (`dgn.data.transforms`).
        mirror: Whether half of the training images are mirrored.
        square: Whether images are squeezed to resize x resize, as in Caffe's own ImageNet recipe.
        cache: See `dgn.data.cache.cached`.
        batch_size: See `ImageData`.
        num_workers: See `ImageData`.
        val_images: Number of validation images that are used.
        seed: See `ImageData`.
        channels: Number of channels of the images; None: RGB (`dgn.data.channels.ReadForm`).
        values: The files' values of black and white; None: those of their type.
    """

    image_size: ImageSize
    resize: int | None = None
    mirror: bool = True
    square: bool = False
    cache: str = "none"
    batch_size: int = 64
    num_workers: int = 2
    val_images: int = 512
    seed: int = 0
    channels: int | None = None
    values: Sequence[float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", as_size(self.image_size))

    @property
    def form(self) -> ReadForm:
        """What files are read as."""
        return ReadForm(self.channels, self.values)

    @property
    def training(self) -> TrainTransform:
        """The paper's augmentation."""
        return TrainTransform(self.image_size, self.resize, self.mirror, self.square)

    @property
    def evaluation(self) -> EvalTransform:
        """The center crop."""
        return EvalTransform(self.image_size, self.resize, self.square)

    def data(self, train: Pictures | Stored, val: Pictures | Stored) -> ImageData:
        """Returns the images of two splits, decoded as `cache` says, and logs how they are scaled and cropped."""
        log.info("%s", describe_scaling(train))
        train, val = cached(train, self.cache), cached(val, self.cache)
        return ImageData(train, val, self.image_size, self.batch_size, self.num_workers, self.val_images, self.seed)
