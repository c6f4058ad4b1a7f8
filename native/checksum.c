/* Internet checksum.  RFC 1071 section 2: the sum does not depend on the width of the words nor on their byte
 * order, so 32-bit words are added in host order to a 64-bit accumulator and the result is swapped once.
 * The loop is plain C that the compiler vectorises; on x86-64 it is compiled a second time for AVX2. */
#include "bytes.h"

/* 2^32 words would overflow the accumulator: longer input is out of the question here. */
static inline __attribute__((always_inline)) uint64_t sum_words(const uint8_t *data, size_t words)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < words; i++) {
        uint32_t v;
        memcpy(&v, data + 4 * i, sizeof v);
        sum += v;
    }
    return sum;
}

#if defined(__x86_64__)
#define WIDE_FROM 128 /* bytes; below, the dispatch costs more than it gains */
__attribute__((target("avx2"))) static uint64_t sum_words_avx2(const uint8_t *data, size_t words)
{
    return sum_words(data, words);
}
#endif

uint32_t ts_sum(const uint8_t *data, size_t len, uint32_t start)
{
    size_t words = len / 4;
    uint64_t sum;
#if defined(__x86_64__)
    if (len >= WIDE_FROM && __builtin_cpu_supports("avx2"))
        sum = sum_words_avx2(data, words);
    else
#endif
        sum = sum_words(data, words);
    if (len & 3) {
        uint32_t tail = 0;
        memcpy(&tail, data + 4 * words, len & 3);
        sum += tail;
    }
    uint32_t folded = fold(sum);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    folded = __builtin_bswap16((uint16_t)folded);
#endif
    return fold((uint64_t)folded + start);
}

uint32_t ts_update_checksum(uint32_t checksum, uint32_t old16, uint32_t new16)
{
    /* RFC 1624 section 3, equation 3: HC' = ~(~HC + ~m + m') */
    return ~fold((uint64_t)(~checksum & 0xffff) + (~old16 & 0xffff) + (new16 & 0xffff)) & 0xffff;
}
