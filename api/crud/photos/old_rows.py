"""What gets old of photos: uploads that nobody completed, and those that failed; keepers have had time to see why.

Their objects are gone, or end by the bucket's own rule.
"""

from datetime import timedelta

from api.crud.old_rows import OldRows, remove
from api.models.photos import FAILED, PENDING, Photo

UPLOADS_KEPT_FOR, FAILED_KEPT_FOR = timedelta(days=1), timedelta(days=30)
OLD_ROWS = [
    OldRows(remove(Photo, Photo.created_at, PENDING), UPLOADS_KEPT_FOR),
    OldRows(remove(Photo, Photo.created_at, FAILED), FAILED_KEPT_FOR),
]
