"""A query string becomes a Query; a resource becomes index values; do they match?"""
