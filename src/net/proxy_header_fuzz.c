/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties: a header gives the same result in one piece and byte by byte; it lies within the input and the limit; and
 * its source is the same after it was written in either version and parsed again.
 */
#include "base/buf.h"
#include "base/bug.h"
#include "base/limits.h"
#include "net/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define insist(condition)                                                                                             \
        do {                                                                                                          \
                if (!(condition))                                                                                     \
                        bug("%s", #condition);                                                                        \
        } while (0)

static void insist_same(const struct proxy_header *a, const struct proxy_header *b)
{
        insist(a->has_source == b->has_source);
        if (!a->has_source)
                return;
        insist(a->source.len == b->source.len && memcmp(a->source.bytes, b->source.bytes, a->source.len) == 0);
        insist(a->source_port == b->source_port);
}

/* Writes the source, which is also the destination, in version 1. */
static void put_v1(struct buf *out, const struct proxy_header *h)
{
        char text[IP_PORT_TEXT_MAX];
        bool is_ipv4 = h->source.len == IPV4_SIZE;

        ip_text_with_port(&h->source, 0, text);
        struct str address = str_of(text);
        address = is_ipv4 ? str_slice(address, 0, address.len - 2) : str_slice(address, 1, address.len - 4);
        buf_printf(out, "PROXY %s %.*s %.*s %u 0\r\n", is_ipv4 ? "TCP4" : "TCP6", STR_ARG(address), STR_ARG(address), h->source_port);
}

/* The same in version 2, with a checksum. */
static void put_v2(struct buf *out, const struct proxy_header *h)
{
        struct str address = str_of_bytes(h->source.bytes, h->source.len);

        buf_put(out, STR("\r\n\r\n\0\r\nQUIT\n\x21"));
        buf_put_u8(out, h->source.len == IPV4_SIZE ? 0x11 : 0x21);
        buf_put_u16(out, (uint16_t)(2 * h->source.len + 2 + 2 + 3 + 4));
        buf_put(out, address);
        buf_put(out, address);
        buf_put_u16(out, (uint16_t)h->source_port);
        buf_put(out, STR("\0\0\x03\0\x04"));
        buf_put(out, STR("\0\0\0\0"));
        uint32_t checksum = proxy_header_crc32c(buf_str(out), SIZE_MAX);
        out->len -= sizeof checksum;
        buf_put_u32(out, checksum);
}

static void insist_reads_as(struct str bytes, const struct proxy_header *h)
{
        enum proxy_header_kind kind;
        struct proxy_header again;

        insist(proxy_header_parse(bytes, &again, &kind) == NULL);
        insist(kind == PROXY_HEADER_WHOLE && again.size == bytes.len);
        insist_same(h, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str whole = str_of_bytes(data, size < 2 * LIMIT_PROXY_HEADER ? size : 2 * LIMIT_PROXY_HEADER);
        enum proxy_header_kind kind, piece_kind = PROXY_HEADER_PARTIAL;
        struct proxy_header header, piece;
        struct error *err = proxy_header_parse(whole, &header, &kind), *piece_err = NULL;
        size_t len = 0;

        while (len < whole.len && piece_err == NULL && piece_kind == PROXY_HEADER_PARTIAL)
                piece_err = proxy_header_parse(str_slice(whole, 0, ++len), &piece, &piece_kind);
        insist((err == NULL) == (piece_err == NULL));
        insist(err == NULL || err->code == piece_err->code);
        insist(err != NULL || kind == piece_kind);
        if (err == NULL && kind == PROXY_HEADER_WHOLE) {
                AUTO(buf) v1 = BUF_MAX(LIMIT_PROXY_HEADER), v2 = BUF_MAX(LIMIT_PROXY_HEADER);

                insist(header.size == len && len <= LIMIT_PROXY_HEADER && piece.size == len);
                insist_same(&header, &piece);
                if (header.has_source) {
                        put_v1(&v1, &header);
                        put_v2(&v2, &header);
                        insist_reads_as(buf_str(&v1), &header);
                        insist_reads_as(buf_str(&v2), &header);
                }
        }
        error_free(piece_err);
        error_free(err);
        return 0;
}
