# One image for web, worker, beat and migrate; docker-compose.yml says which command each runs.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt

COPY . .
# Production settings, so that the files get their hashed names; nothing is connected to and
# nothing of these values stays in the image.
RUN DATABASE_URL=postgresql:///unused REDIS_URL=redis://unused SECRET_KEY=unused ALLOWED_HOSTS=unused \
    python manage.py collectstatic --no-input \
 && useradd --system --no-create-home holdfast

USER holdfast
EXPOSE 8000
ENV GRANIAN_HOST=0.0.0.0 GRANIAN_PORT=8000 GRANIAN_WORKERS=2 GRANIAN_RESPAWN_FAILED_WORKERS=1 \
    GRANIAN_BACKLOG=4096 GRANIAN_BACKPRESSURE=8192 \
    METRICS_DIR=/tmp/metrics
CMD ["granian", "orders_project.asgi:application", "--interface", "asgi"]
