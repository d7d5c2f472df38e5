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
CMD ["granian", "orders_project.wsgi:application", "--interface", "wsgi", "--no-ws", \
     "--host", "0.0.0.0", "--port", "8000", "--workers", "2", "--blocking-threads", "2"]
