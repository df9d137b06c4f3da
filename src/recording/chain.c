/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>

#include "base/bug.h"
#include "base/reader.h"
#include "recording/recording_internal.h"

_Static_assert(CHUNK_HEADER <= sizeof((struct recording_chain *)NULL)->head, "a chunk's header has room");
_Static_assert((int)DIGEST_LEN == (int)RECORDING_LINK_LEN, "a link is a SHA-256");

static void md_begin(struct recording_chain *c)
{
        if (EVP_DigestInit_ex(c->md, EVP_sha256(), NULL) != 1)
                bug("there is no SHA-256");
}

static void md_put(struct recording_chain *c, struct str bytes)
{
        if (bytes.len > 0 && EVP_DigestUpdate(c->md, bytes.ptr, bytes.len) != 1)
                bug("SHA-256 failed");
}

static void md_end(struct recording_chain *c)
{
        if (EVP_DigestFinal_ex(c->md, c->link, NULL) != 1)
                bug("SHA-256 failed");
}

/* Each link's digest begins with the previous link. */
static void begin_link(struct recording_chain *c)
{
        md_begin(c);
        md_put(c, str_of_bytes(c->link, sizeof c->link));
        c->head_len = 0;
        c->body_left = 0;
}

void recording_chain_begin(struct recording_chain *c, struct str session_id)
{
        *c = (struct recording_chain){ .md = EVP_MD_CTX_new() };
        if (c->md == NULL)
                bug("there is no SHA-256");
        md_begin(c);
        md_put(c, STR(RECORDING_MAGIC));
        md_put(c, session_id);
        md_end(c);
        begin_link(c);
}

void recording_chain_release(struct recording_chain *c)
{
        EVP_MD_CTX_free(c->md);
        *c = (struct recording_chain){ 0 };
}

static void end_link(struct recording_chain *c)
{
        md_end(c);
        if (c->chunks == 0)
                memcpy(c->first, c->link, sizeof c->first);
        c->chunks++;
        c->whole += CHUNK_HEADER + (uint64_t)c->body_len;
        begin_link(c);
}

static struct str take(struct str *bytes, size_t most)
{
        struct str part = str_slice(*bytes, 0, most);

        *bytes = str_slice(*bytes, part.len, bytes->len);
        return part;
}

/* The magic is not part of a chunk; the checker verifies it. */
static void feed_magic(struct recording_chain *c, struct str *bytes)
{
        c->head_len += take(bytes, MAGIC_LEN - c->head_len).len;
        if (c->head_len < MAGIC_LEN)
                return;
        c->whole = MAGIC_LEN;
        c->head_len = 0;
}

static void feed_head(struct recording_chain *c, struct str *bytes)
{
        struct str part = take(bytes, CHUNK_HEADER - c->head_len);

        md_put(c, part);
        memcpy(c->head + c->head_len, part.ptr, part.len);
        c->head_len += part.len;
        if (c->head_len < CHUNK_HEADER)
                return;
        struct reader r = reader_over(str_of_bytes(c->head, CHUNK_HEADER));
        c->body_len = c->body_left = reader_u32(&r);
        if (c->body_left == 0)
                end_link(c);
}

static void feed_body(struct recording_chain *c, struct str *bytes)
{
        struct str part = take(bytes, c->body_left);

        md_put(c, part);
        c->body_left -= (uint32_t)part.len;
        if (c->body_left == 0)
                end_link(c);
}

void recording_chain_feed(struct recording_chain *c, struct str bytes)
{
        while (bytes.len > 0) {
                if (c->whole == 0)
                        feed_magic(c, &bytes);
                else if (c->head_len < CHUNK_HEADER)
                        feed_head(c, &bytes);
                else
                        feed_body(c, &bytes);
        }
}

void recording_chain_cut(struct recording_chain *c)
{
        begin_link(c);
}
