/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of HTTP/1.1 messages (RFC 9112 sections 6 and 7), read and written piece by piece in constant memory.
 *
 * The chunked coding is read strictly: a size is one to fifteen hexadecimal digits without prefix or blanks; extensions are dropped, and
 * limited in length; every line ends in CR LF. Trailer fields that matter for the message itself or that only the gateway may set are
 * dropped; of the others at most LIMIT_HTTP_TRAILER bytes.
 */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include "http/head.h"

struct http_body_reader {
        struct http_fields trailers; /* complete when it is done */
        /* The following fields are private. */
        enum http_body_kind kind;
        unsigned state;
        uint64_t left;  /* bytes of the body, or of the current chunk */
        unsigned count; /* digits of the size, or bytes of the extension */
        struct buf line; /* of the trailer section */
        size_t trailer_size;
        bool is_done;
};

/* Starts a body of this framing; a zeroed reader is one without body. */
void http_body_start(struct http_body_reader *r, struct http_framing framing);
void http_body_reader_release(struct http_body_reader *r);

/*
 * Takes bytes from the front of *bytes until there is a piece of data, *ret_piece (borrowed from *bytes), the body is done, or more bytes
 * are needed; *ret_piece is empty then. Bytes after the body stay in *bytes. INVALID_ARGUMENT: malformed. RESOURCE_EXHAUSTED: the trailer
 * is too long.
 */
struct error *http_body_read(struct http_body_reader *r, struct str *bytes, struct str *ret_piece) MUST_USE;

bool http_body_is_done(const struct http_body_reader *r);

/* The stream has ended: completes HTTP_BODY_UNTIL_CLOSE; INVALID_ARGUMENT if the body is incomplete. */
struct error *http_body_end(struct http_body_reader *r) MUST_USE;

/* Appends a piece, not empty, or the end of a body; trailers may be NULL, and are sent only if the kind is HTTP_BODY_CHUNKED. */
void http_body_put(struct buf *out, enum http_body_kind kind, struct str piece);
void http_body_put_end(struct buf *out, enum http_body_kind kind, const struct http_fields *trailers);

/* The bytes that http_body_put() adds to a piece at most. */
enum { HTTP_BODY_OVERHEAD = 24 };

#endif
