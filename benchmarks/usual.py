"""The yardstick: the animals' routes on FastAPI and SQLAlchemy's ORM, as tutorials and public templates write them.

On the same tables as the api, with the same answers. It is neither slower nor faster than usual: the engine with its
defaults, a session per request, entities, `commit` and `refresh`, a query for the token and one for its user.
"""

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, status
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import BigInteger, DateTime, Enum, ForeignKey, Identity, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from api.enums.users import UserType

TOKEN_LIFETIME = timedelta(days=1)
PHOTOS_URL = "https://photos.zoo.example/photos"

engine = create_async_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"))
async_session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """Declarative base."""


class Animal(Base):
    """An animal."""

    __tablename__ = "animals"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    name: Mapped[str]
    description: Mapped[str | None]
    species: Mapped[str | None]
    exhibit_id: Mapped[int | None] = mapped_column(BigInteger)
    photo_name: Mapped[str | None] = mapped_column("photo")
    photo_alt: Mapped[str | None]

    @property
    def photo(self) -> dict[str, str | None] | None:
        """Where its photo is."""
        if self.photo_name is None:
            return None
        url = f"{PHOTOS_URL}/{self.photo_name}"
        return {"small": f"{url}-320.webp", "large": f"{url}-1280.webp", "alt": self.photo_alt}


class User(Base):
    """Somebody with an account."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    hashed_password: Mapped[str]
    type: Mapped[UserType] = mapped_column(
        Enum(UserType, name="user_type", values_callable=lambda types: [member.value for member in types])
    )
    is_active: Mapped[bool]


class AccessToken(Base):
    """What a user has signed in with."""

    __tablename__ = "access_tokens"

    token: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class AnimalCreate(BaseModel):
    """A new animal."""

    name: str = Field(min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=10_000)
    species: str | None = Field(default=None, max_length=200)
    exhibit_id: int | None = None


class Photo(BaseModel):
    """A photo, as clients get it."""

    small: str
    large: str
    alt: str


class AnimalOut(BaseModel):
    """An animal, as clients get it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    name: str
    description: str | None
    species: str | None
    exhibit_id: int | None
    photo: Photo | None


async def get_db() -> AsyncIterator[AsyncSession]:
    """The request's session."""
    async with async_session() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_db)]
TokenDep = Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl="auth/jwt/login"))]


async def get_current_user(token: TokenDep, db: SessionDep) -> User:
    """The user whose token this is."""
    statement = select(AccessToken).where(
        AccessToken.token == hashlib.sha256(token.encode()).hexdigest(),
        AccessToken.created_at >= datetime.now(UTC) - TOKEN_LIFETIME,
    )
    access_token = (await db.execute(statement)).scalar_one_or_none()
    user = await db.get(User, access_token.user_id) if access_token else None
    if user is None or not user.is_active:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "Could not validate credentials")
    return user


async def get_current_keeper(user: Annotated[User, Depends(get_current_user)]) -> User:
    """The keeper who is signed in."""
    if not user.type.includes(UserType.KEEPER):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Not enough permissions")
    return user


app = FastAPI()


@app.get("/animals", response_model=list[AnimalOut])
async def read_animals(db: SessionDep, offset: int = 0, limit: int = 100) -> Sequence[Animal]:
    """List animals."""
    statement = select(Animal).where(Animal.deleted_at.is_(None)).order_by(Animal.id).offset(offset).limit(limit)
    result = await db.execute(statement)
    return result.scalars().all()


@app.get("/animals/{animal_id}", response_model=AnimalOut)
async def read_animal(animal_id: int, db: SessionDep) -> Animal:
    """Read an animal."""
    animal = await db.get(Animal, animal_id)
    if animal is None or animal.deleted_at is not None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "Animal not found")
    return animal


@app.post("/animals", response_model=AnimalOut, status_code=status.HTTP_201_CREATED)
async def create_animal(data: AnimalCreate, db: SessionDep, _: Annotated[User, Depends(get_current_keeper)]) -> Animal:
    """Create an animal."""
    animal = Animal(**data.model_dump())
    db.add(animal)
    await db.commit()
    await db.refresh(animal)
    return animal
