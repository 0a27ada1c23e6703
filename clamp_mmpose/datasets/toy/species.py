"""The animals that can be drawn: one row of proportions and coats per species.

Lengths are in units of the distance from hip to shoulder, angles in degrees, colours RGB. Names are AP-10K's.
"""
from __future__ import annotations

from dataclasses import dataclass

BLACK, WHITE, CREAM, PINK = (38, 34, 36), (240, 238, 232), (238, 222, 190), (228, 160, 160)


@dataclass(frozen=True)
class Coat:
    """Colours of one animal; what is None takes the colour of the body."""
    base: tuple
    mark: tuple = BLACK
    belly: tuple | None = None
    legs: tuple | None = None
    socks: tuple | None = None
    face: tuple | None = None
    muzzle: tuple | None = None
    ears: tuple | None = None
    hair: tuple = BLACK
    tail: tuple = WHITE
    nose: tuple = BLACK


@dataclass(frozen=True)
class Species:
    """Proportions of a quadruped, and the coats it comes in."""
    name: str
    coats: tuple
    leg: float  # height of the shoulder joint above the ground
    hind: float = 1.  # height of the hip, relative to the shoulder
    trunk: tuple = (.27, .28, .29)  # radii of rump, belly, chest
    limb: tuple = (.13, .06)  # radii of a leg at its top and at its foot
    hoof: bool = False
    neck: tuple = (.4, 40)  # length, angle above the horizontal
    neck_radius: tuple = (.2, .14)
    head: float = .2  # radius of the skull
    muzzle: tuple = (.28, .1)  # distance from the skull to its tip, radius of the tip
    head_pitch: float = -20
    eye_angle: float = 62  # between the muzzle and the eye, seen from above
    ears: tuple = ('pointed', .16)
    horns: str = ''
    mane: str = ''
    tail: tuple = ('thin', .6)
    pattern: str = 'plain'
    sits: bool = False
    size: float = 1.  # how large it is drawn beside others
    features: tuple = ()


_HORSE = dict(
    leg=1.02, trunk=(.27, .26, .28), limb=(.13, .05), hoof=True, neck=(.62, 50), neck_radius=(.2, .14), head=.18,
    muzzle=(.42, .1), head_pitch=-42, ears=('pointed', .17), size=1.08)
_DOG = dict(
    leg=.78, trunk=(.19, .19, .24), limb=(.12, .06), neck=(.32, 48), neck_radius=(.16, .14), head=.22,
    muzzle=(.3, .1), head_pitch=-12, eye_angle=54, sits=True, size=.92)
_BIG_CAT = dict(
    leg=.7, trunk=(.2, .2, .23), limb=(.13, .075), neck=(.26, 32), neck_radius=(.19, .17), head=.25,
    muzzle=(.2, .13), head_pitch=-12, eye_angle=50, ears=('round', .12), tail=('thin', .85), sits=True)
_BEAR = dict(
    leg=.68, trunk=(.34, .36, .36), limb=(.17, .12), neck=(.22, 22), neck_radius=(.28, .22), head=.27,
    muzzle=(.27, .12), head_pitch=-14, eye_angle=52, ears=('round', .13), tail=('stub', .1), sits=True)

SPECIES = (
    Species('antelope', (Coat((198, 142, 84), belly=WHITE, face=(168, 112, 62), mark=(92, 58, 34)),
                         Coat((214, 168, 112), belly=WHITE, mark=(84, 52, 32))),
            leg=1.05, trunk=(.21, .21, .23), limb=(.1, .04), hoof=True, neck=(.5, 52), neck_radius=(.14, .1), head=.17,
            muzzle=(.3, .08), head_pitch=-26, ears=('pointed', .2), horns='straight', tail=('stub', .2),
            pattern='flank', size=.95),
    Species('cow', (Coat(WHITE, mark=BLACK, muzzle=PINK), Coat((226, 214, 196), mark=(140, 74, 42), muzzle=PINK),
                    Coat((150, 84, 50), mark=WHITE, muzzle=PINK)),
            leg=.8, trunk=(.31, .35, .32), limb=(.14, .07), hoof=True, neck=(.34, 22), neck_radius=(.25, .19), head=.22,
            muzzle=(.34, .15), head_pitch=-32, ears=('side', .22), horns='curved', tail=('tuft', .8), pattern='patches',
            size=1.05, features=('udder', )),
    Species('sheep', (Coat((236, 230, 214), face=BLACK, socks=BLACK, ears=BLACK),
                      Coat((222, 212, 194), face=CREAM, socks=CREAM, ears=CREAM)),
            leg=.66, trunk=(.36, .38, .36), limb=(.11, .06), hoof=True, neck=(.3, 36), neck_radius=(.24, .2), head=.21,
            muzzle=(.26, .12), head_pitch=-28, ears=('side', .2), tail=('stub', .18), pattern='wool', size=.88),
    Species('dog', (Coat((176, 116, 62), ears=(110, 66, 34), mark=(140, 86, 44)),
                    Coat(WHITE, mark=(60, 50, 48), ears=(60, 50, 48)),
                    Coat((64, 56, 56), muzzle=(178, 116, 66), socks=(178, 116, 66), mark=(64, 56, 56))),
            ears=('floppy', .26), tail=('raised', .45), pattern='patches', **_DOG),
    Species('fox', (Coat((224, 112, 40), belly=WHITE, socks=BLACK, ears=BLACK, muzzle=WHITE), ),
            **{**_DOG, 'leg': .62, 'muzzle': (.32, .07), 'trunk': (.18, .18, .21)}, ears=('pointed', .27),
            tail=('brush', .85), pattern='belly'),
    Species('wolf', (Coat((126, 126, 132), belly=(206, 204, 198), muzzle=(206, 204, 198), mark=(70, 70, 78)),
                     Coat((96, 92, 92), belly=(168, 160, 150), muzzle=(168, 160, 150), mark=(48, 46, 50))),
            **{**_DOG, 'trunk': (.21, .22, .28), 'neck': (.3, 30), 'neck_radius': (.23, .17)}, ears=('pointed', .19),
            tail=('brush', .6), pattern='saddle'),
    Species('deer', (Coat((172, 102, 56), belly=CREAM, mark=WHITE), Coat((146, 96, 62), belly=CREAM, mark=CREAM)),
            leg=1.08, trunk=(.23, .22, .25), limb=(.11, .04), hoof=True, neck=(.5, 56), neck_radius=(.16, .11),
            head=.18, muzzle=(.3, .085), head_pitch=-22, ears=('pointed', .24), horns='antlers', tail=('stub', .2),
            pattern='spots'),
    Species('hamster', (Coat((222, 154, 84), belly=WHITE, muzzle=WHITE, nose=PINK),
                        Coat((190, 180, 172), belly=WHITE, muzzle=WHITE, nose=PINK)),
            leg=.42, trunk=(.45, .46, .42), limb=(.13, .075), neck=(.2, 22), neck_radius=(.4, .34), head=.38,
            muzzle=(.24, .16), head_pitch=-8, eye_angle=56, ears=('round', .18), tail=('stub', .08), pattern='belly',
            sits=True, size=.75),
    Species('elephant', (Coat((142, 142, 150)), Coat((120, 116, 120))),
            leg=.9, trunk=(.42, .45, .42), limb=(.19, .15), neck=(.28, 24), neck_radius=(.34, .3), head=.35,
            muzzle=(.3, .14), head_pitch=-24, ears=('fan', .5), horns='tusks', tail=('thin', .5), size=1.15,
            features=('trunk', )),
    Species('horse', (Coat((128, 70, 38), hair=BLACK, socks=(70, 44, 34)), Coat((70, 50, 44), hair=BLACK),
                      Coat((206, 158, 96), hair=CREAM, socks=WHITE), Coat((214, 210, 204), hair=(150, 146, 146))),
            mane='flowing', tail=('hair', .75), **_HORSE),
    Species('zebra', (Coat((242, 240, 236), mark=BLACK, hair=BLACK, muzzle=BLACK), ),
            **{**_HORSE, 'leg': .95, 'neck': (.56, 50)}, mane='stiff', tail=('tuft', .6), pattern='stripes'),
    Species('cat', (Coat((150, 146, 146), mark=(84, 80, 82), nose=PINK),
                    Coat((230, 148, 68), mark=(190, 100, 36), muzzle=WHITE, nose=PINK),
                    Coat((60, 58, 62), mark=(44, 42, 46), muzzle=WHITE, socks=WHITE, nose=PINK)),
            leg=.6, trunk=(.19, .19, .2), limb=(.1, .06), neck=(.2, 48), neck_radius=(.16, .15), head=.27,
            muzzle=(.18, .1), head_pitch=-8, eye_angle=48, ears=('pointed', .22), tail=('raised', .8), pattern='tabby',
            sits=True, size=.78, features=('ringed tail', )),
    Species('leopard', (Coat((226, 178, 96), belly=CREAM, muzzle=CREAM, mark=(60, 40, 28)), ), pattern='rosettes',
            features=('ringed tail', ), **_BIG_CAT),
    Species('lion', (Coat((206, 156, 88), belly=CREAM, muzzle=CREAM, hair=(120, 70, 32)),
                     Coat((222, 180, 116), belly=CREAM, muzzle=CREAM, hair=(86, 52, 32))),
            mane='lion', **{**_BIG_CAT, 'tail': ('tuft', .85), 'trunk': (.22, .22, .27)}),
    Species('tiger', (Coat((232, 134, 44), belly=WHITE, muzzle=WHITE, mark=(44, 32, 30)), ), pattern='stripes',
            **{**_BIG_CAT, 'limb': (.14, .085)}, features=('ringed tail', )),
    Species('giraffe', (Coat((240, 210, 150), mark=(164, 94, 44), hair=(136, 78, 40), legs=(240, 222, 184)), ),
            leg=1.4, hind=.9, trunk=(.24, .27, .29), limb=(.13, .055), hoof=True, neck=(1.25, 62),
            neck_radius=(.2, .11), head=.18, muzzle=(.34, .085), head_pitch=-24, ears=('side', .2), horns='ossicones',
            mane='stiff', tail=('tuft', .6), pattern='giraffe', size=1.2),
    Species('rabbit', (Coat((164, 128, 98), belly=WHITE, nose=PINK), Coat((232, 228, 224), nose=PINK, ears=PINK),
                       Coat((120, 114, 116), belly=WHITE, nose=PINK)),
            leg=.45, hind=1.15, trunk=(.36, .33, .25), limb=(.12, .07), neck=(.22, 46), neck_radius=(.2, .18),
            head=.27, muzzle=(.2, .12), head_pitch=-12, eye_angle=66, ears=('long', .6), tail=('puff', .18),
            pattern='belly', sits=True, size=.75),
    Species('raccoon', (Coat((134, 126, 122), belly=(176, 168, 160), face=(190, 186, 180), socks=(70, 64, 64)), ),
            leg=.56, trunk=(.3, .3, .25), limb=(.12, .07), neck=(.2, 30), neck_radius=(.2, .18), head=.26,
            muzzle=(.26, .08), head_pitch=-12, eye_angle=50, ears=('round', .15), tail=('bushy', .75),
            pattern='saddle', sits=True, size=.8, features=('eye mask', 'ringed tail')),
    Species('rhino', (Coat((150, 146, 142)), Coat((124, 116, 110))),
            leg=.72, trunk=(.37, .4, .38), limb=(.17, .13), neck=(.34, 12), neck_radius=(.32, .25), head=.27,
            muzzle=(.42, .15), head_pitch=-24, ears=('pointed', .18), horns='rhino', tail=('thin', .4), size=1.1),
    Species('pig', (Coat((240, 178, 172), nose=(214, 120, 124)), Coat((232, 190, 176), nose=(214, 120, 124))),
            leg=.55, trunk=(.34, .36, .35), limb=(.13, .08), hoof=True, neck=(.2, 14), neck_radius=(.31, .26), head=.29,
            muzzle=(.32, .14), head_pitch=-12, ears=('flap', .22), tail=('curl', .32), size=.9,
            features=('snout', )),
    Species('brown bear', (Coat((112, 72, 44), muzzle=(172, 128, 88)), Coat((92, 62, 46), muzzle=(150, 108, 78))),
            **_BEAR),
    Species('panda', (Coat(WHITE, mark=BLACK, legs=BLACK, ears=BLACK), ), **{**_BEAR, 'head': .31, 'muzzle': (.2, .13)},
            pattern='panda', features=('eye mask', )),
)
