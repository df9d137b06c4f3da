/* SPDX-License-Identifier: Apache-2.0 */
#include "recording/recording_internal.h"

enum { CRC32C_POLYNOMIAL = (int)0x82f63b78 }; /* bit-reversed */

static uint32_t tables[8][256]; /* [k][b]: b followed by k zero bytes; filled before main, then constant */

__attribute__((constructor)) static void fill_tables(void)
{
        for (uint32_t b = 0; b < 256; b++) {
                uint32_t crc = b;

                for (int bit = 0; bit < 8; bit++)
                        crc = crc >> 1 ^ (crc & 1 ? (uint32_t)CRC32C_POLYNOMIAL : 0);
                tables[0][b] = crc;
        }
        for (uint32_t b = 0; b < 256; b++)
                for (int k = 1; k < 8; k++)
                        tables[k][b] = tables[k - 1][b] >> 8 ^ tables[0][tables[k - 1][b] & 0xff];
}

uint32_t crc32c(uint32_t crc, struct str bytes)
{
        const uint8_t *p = str_bytes(bytes);
        size_t left = bytes.len;

        crc = ~crc;
        for (; left >= 8; left -= 8, p += 8) {
                crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
                crc = tables[7][crc & 0xff] ^ tables[6][crc >> 8 & 0xff] ^ tables[5][crc >> 16 & 0xff] ^
                      tables[4][crc >> 24] ^ tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^ tables[0][p[7]];
        }
        for (; left > 0; left--, p++)
                crc = crc >> 8 ^ tables[0][(crc ^ *p) & 0xff];
        return ~crc;
}
