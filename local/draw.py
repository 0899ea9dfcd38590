"""`python -m local.draw seed/photos`: draws the photos of the seed data, which are free of anybody's rights."""

import sys
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = (960, 720)
SKY, SUN, GRASS, DARK, LIGHT = "#f6d9a4", "#e2664a", "#8f9b45", "#3b2a20", "#fdf6e3"
Box = tuple[int, int, int, int]


def savanna() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """The scene: sky, sun, grass."""
    image = Image.new("RGB", SIZE, SKY)
    pen = ImageDraw.Draw(image)
    pen.ellipse((640, 90, 820, 270), SUN)
    pen.rectangle((0, 540, 960, 720), GRASS)
    return image, pen


def body(pen: ImageDraw.ImageDraw, trunk: Box, legs: int, colour: str) -> None:
    """A trunk on four legs that end at `legs`."""
    left, _, right, bottom = trunk
    for x in (left + 25, left + 75, right - 105, right - 55):
        pen.rectangle((x, bottom - 60, x + 30, legs), colour)
    pen.rounded_rectangle(trunk, 70, colour)


def giraffe(pen: ImageDraw.ImageDraw) -> None:
    """Tall, with spots."""
    colour = "#d99b3f"
    body(pen, (300, 330, 620, 480), 640, colour)
    pen.polygon([(330, 400), (420, 360), (300, 120), (250, 140)], colour)
    pen.rounded_rectangle((170, 90, 320, 150), 28, colour)
    pen.line([(275, 92), (270, 60)], DARK, 8)
    pen.line([(300, 92), (302, 60)], DARK, 8)
    pen.ellipse((235, 105, 247, 117), DARK)
    for x, y in ((340, 360), (420, 380), (500, 350), (560, 400), (390, 430), (480, 430), (320, 250), (290, 180)):
        pen.ellipse((x, y, x + 38, y + 32), "#8a5a22")


def zebra(pen: ImageDraw.ImageDraw) -> None:
    """Striped."""
    body(pen, (290, 340, 630, 490), 640, LIGHT)
    pen.polygon([(300, 420), (400, 350), (300, 220), (230, 260)], LIGHT)
    pen.rounded_rectangle((150, 210, 310, 280), 30, LIGHT)
    pen.ellipse((225, 228, 237, 240), DARK)
    pen.ellipse((148, 230, 190, 282), DARK)
    for x in range(360, 610, 42):
        pen.polygon([(x, 345), (x + 18, 345), (x + 6, 485), (x - 8, 485)], DARK)
    for y in range(250, 350, 34):
        pen.line([(262 + (y - 250) // 2, y + 20), (330 + (y - 250) // 2, y - 10)], DARK, 12)


def elephant(pen: ImageDraw.ImageDraw) -> None:
    """Large, with a trunk."""
    colour, ear = "#8c8a8f", "#75737a"
    body(pen, (300, 250, 720, 500), 640, colour)
    pen.ellipse((180, 220, 400, 430), colour)
    pen.line([(210, 360), (180, 470), (200, 560)], colour, 56, joint="curve")
    pen.ellipse((300, 230, 450, 430), ear)
    pen.ellipse((230, 290, 246, 306), DARK)
    pen.polygon([(232, 400), (256, 400), (190, 460)], LIGHT)


def main(folder: Path) -> None:
    """Draw all of them."""
    for name, draw in {"Amara": giraffe, "Kito": zebra, "Tendai": elephant}.items():
        image, pen = savanna()
        draw(pen)
        image.save(folder / f"{name}.webp", quality=80, method=6)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
